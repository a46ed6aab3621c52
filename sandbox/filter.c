#include "sandbox/filter.h"

#include "sandbox/filter_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NEVER 3 /* no profile allows it */

/* The older calls aren't on every architecture. */
#ifndef SYS_open
#define SYS_open  (-1)
#define SYS_creat (-1)
#define SYS_chmod (-1)
#define SYS_mknod (-1)
#endif
#ifndef SYS_iopl
#define SYS_iopl          (-1)
#define SYS_ioperm        (-1)
#define SYS_modify_ldt    (-1)
#define SYS_uselib        (-1)
#define SYS_create_module (-1)
#define SYS_query_module  (-1)
#endif

#define CALL(name)          #name, SYS_##name
#define NEWER(name, number) name, number /* than the headers */

struct rule {
	const char *name;
	int number; /* -1: not on this architecture */
	int code;
	int from; /* the first profile that allows it */
	const char *hint;
	struct condition when[CONDITIONS_MAX]; /* all hold; none: always */
};

static const char nested[] = "profile: nested (--profile nested) allows it";
static const char ci[] = "profile: ci (--profile ci) allows it";
static const char host[] = "it administers the host; no option allows it";
static const char surface[] = "it widens the kernel's attack surface; no option allows it";
static const char falls_back[] = "software falls back to older calls; no option allows it";

static const struct rule rules[] = {
	{CALL(ptrace), EPERM, SANDBOX_CI, ci},
	{CALL(process_vm_readv), EPERM, SANDBOX_CI, ci},
	{CALL(process_vm_writev), EPERM, SANDBOX_CI, ci},

	{CALL(setns), EPERM, SANDBOX_NESTED, nested},
	{CALL(mount), EPERM, SANDBOX_NESTED, nested},
	{CALL(umount2), EPERM, SANDBOX_NESTED, nested},
	{CALL(pivot_root), EPERM, SANDBOX_NESTED, nested},
	{CALL(chroot), EPERM, SANDBOX_NESTED, nested},
	{CALL(fsopen), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(fsconfig), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(fsmount), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(fspick), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(open_tree), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(move_mount), ENOSYS, SANDBOX_NESTED, nested},
	{CALL(mount_setattr), ENOSYS, SANDBOX_NESTED, nested},
	{NEWER("open_tree_attr", 467), ENOSYS, SANDBOX_NESTED, nested},

	{CALL(kexec_load), EPERM, NEVER, host},
	{CALL(kexec_file_load), EPERM, NEVER, host},
	{CALL(init_module), EPERM, NEVER, host},
	{CALL(finit_module), EPERM, NEVER, host},
	{CALL(delete_module), EPERM, NEVER, host},
	{CALL(create_module), ENOSYS, NEVER, host},
	{CALL(query_module), ENOSYS, NEVER, host},
	{CALL(reboot), EPERM, NEVER, host},
	{CALL(swapon), EPERM, NEVER, host},
	{CALL(swapoff), EPERM, NEVER, host},
	{CALL(settimeofday), EPERM, NEVER, host},
	{CALL(clock_settime), EPERM, NEVER, host},
	{CALL(iopl), EPERM, NEVER, host},
	{CALL(ioperm), EPERM, NEVER, host},
	{CALL(acct), EPERM, NEVER, host},
	{CALL(quotactl), EPERM, NEVER, host},
	{NEWER("quotactl_fd", 443), EPERM, NEVER, host},
	{CALL(syslog), EPERM, NEVER, host},
	{CALL(vhangup), EPERM, NEVER, host},
	{CALL(nfsservctl), ENOSYS, NEVER, host},
	{CALL(uselib), ENOSYS, NEVER, host},

	{CALL(io_uring_setup), ENOSYS, NEVER, falls_back},
	{CALL(io_uring_enter), ENOSYS, NEVER, falls_back},
	{CALL(io_uring_register), ENOSYS, NEVER, falls_back},
	{NEWER("memfd_secret", 447), ENOSYS, NEVER, falls_back},
	{CALL(keyctl), ENOSYS, NEVER, "keyrings reach beyond the sandbox; no option allows it"},
	{CALL(add_key), ENOSYS, NEVER, "keyrings reach beyond the sandbox; no option allows it"},
	{CALL(request_key), ENOSYS, NEVER,
	 "keyrings reach beyond the sandbox; no option allows it"},
	{CALL(bpf), EPERM, NEVER, surface},
	{CALL(perf_event_open), EPERM, NEVER, surface},
	{CALL(userfaultfd), EPERM, NEVER, surface},
	{CALL(vmsplice), EPERM, NEVER, surface},
	{CALL(open_by_handle_at), EPERM, NEVER, surface},
	{CALL(name_to_handle_at), EOPNOTSUPP, NEVER, surface},
	{CALL(fanotify_init), EPERM, NEVER, surface},
	{CALL(lookup_dcookie), EPERM, NEVER, surface},
	{CALL(kcmp), EPERM, NEVER, surface},
	{CALL(pidfd_getfd), EPERM, NEVER, surface},
	{CALL(process_madvise), EPERM, NEVER, surface},
	{CALL(modify_ldt), EPERM, NEVER, surface},
	{CALL(mbind), EPERM, NEVER, surface},
	{CALL(set_mempolicy), EPERM, NEVER, surface},
	{NEWER("set_mempolicy_home_node", 450), EPERM, NEVER, surface},
	{CALL(migrate_pages), EPERM, NEVER, surface},
	{CALL(move_pages), EPERM, NEVER, surface},
};

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
	 CLONE_NEWCGROUP)
#define NEWTIME 0x80 /* in clone() part of the signal */

/* gdb and the sanitizers need ADDR_NO_RANDOMIZE, old build tools PER_LINUX32 and UNAME26. */
#define PERSONALITIES (PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE)
#define QUERY         0xffffffff

static const char namespaces[] =
	"profile: nested (--profile nested) allows it; a control group namespace only to jobs "
	"started by root, or where cgroup2 is mounted with nsdelegate";
static const char families[] =
	"profile: ci (--profile ci) allows netlink; unix, inet and inet6 are allowed always, other "
	"families by no option";
static const char typing[] = "it would type into a terminal; no option allows it";

/* Calls that are denied by their arguments only. */
static const struct rule conditional[] = {
	{CALL(clone), EPERM, SANDBOX_NESTED, namespaces, {{HAS_ANY_OF, 0, NAMESPACES}}},
	{CALL(unshare), EPERM, SANDBOX_NESTED, namespaces, {{HAS_ANY_OF, 0, NAMESPACES | NEWTIME}}},
	{CALL(seccomp),
	 EPERM,
	 SANDBOX_NESTED,
	 nested,
	 {{HAS_ANY_OF, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER}}},
	{CALL(socket),
	 EAFNOSUPPORT,
	 NEVER,
	 families,
	 {{IS_NOT, 0, AF_UNSPEC},
	  {IS_NOT, 0, AF_UNIX},
	  {IS_NOT, 0, AF_INET},
	  {IS_NOT, 0, AF_INET6},
	  {IS_NOT, 0, AF_NETLINK}}},
	{CALL(socket),
	 EAFNOSUPPORT,
	 SANDBOX_CI,
	 families,
	 {{IS, 0, AF_NETLINK}, {IS_NOT, 2, NETLINK_ROUTE}}},
	{CALL(ioctl), EPERM, NEVER, typing, {{IS, 1, TIOCSTI}}},
	{CALL(ioctl), EPERM, NEVER, typing, {{IS, 1, TIOCLINUX}}},
	{CALL(ioctl), EPERM, NEVER, typing, {{IS, 1, TIOCSETD}}},
	{CALL(personality),
	 EPERM,
	 NEVER,
	 "only ADDR_NO_RANDOMIZE and the native layouts are allowed",
	 {{IS_NOT, 0, QUERY}, {HAS_ANY_OF, 0, ~(uint32_t)PERSONALITIES}}},
};

static const char setid[] =
	"setuid and setgid bits on files that land as root's; a worktree owned by the job's user or "
	"another one than root allows it";

#define SETID_BITS (S_ISUID | S_ISGID)
#define CREATING   (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static const struct rule setid_rules[] = {
	{CALL(chmod), EPERM, NEVER, setid, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{CALL(fchmod), EPERM, NEVER, setid, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{CALL(fchmodat), EPERM, NEVER, setid, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{NEWER("fchmodat2", 452), EPERM, NEVER, setid, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{CALL(creat), EPERM, NEVER, setid, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{CALL(mknod), EPERM, NEVER, setid, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{CALL(mknodat), EPERM, NEVER, setid, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{CALL(open), EPERM, NEVER, setid, {{HAS_ANY_OF, 1, CREATING}, {HAS_ANY_OF, 2, SETID_BITS}}},
	{CALL(openat),
	 EPERM,
	 NEVER,
	 setid,
	 {{HAS_ANY_OF, 2, CREATING}, {HAS_ANY_OF, 3, SETID_BITS}}},
	{CALL(openat2), ENOSYS, NEVER, setid, {{ALWAYS}}}, /* its mode stands behind a pointer */
};

static const char filecaps[] =
	"extended attributes on files that land as root's, where the job may make user namespaces; a "
	"worktree owned by the job's user or another one than root allows it, and so does profile: ci "
	"(--profile ci)";

static const struct rule filecaps_rules[] = {
	{CALL(setxattr),
	 EOPNOTSUPP,
	 NEVER,
	 filecaps,
	 {{ALWAYS}}}, /* the name is behind a pointer */
	{CALL(lsetxattr), EOPNOTSUPP, NEVER, filecaps, {{ALWAYS}}},
	{CALL(fsetxattr), EOPNOTSUPP, NEVER, filecaps, {{ALWAYS}}},
	{NEWER("setxattrat", 463), ENOSYS, NEVER, filecaps, {{ALWAYS}}},
};

static const char first[] = "process 1 holds the sandbox and belongs to this user here; no option "
			    "allows it (with ids of its own in /etc/subuid it wouldn't matter)";

/* pid 1 of the job; these see nothing of who is who. */
static const struct rule first_rules[] = {
	{CALL(prlimit64), EPERM, NEVER, first, {{IS, 0, 1}}},
	{CALL(sched_setparam), EPERM, NEVER, first, {{IS, 0, 1}}},
	{CALL(sched_setscheduler), EPERM, NEVER, first, {{IS, 0, 1}}},
	{CALL(sched_setattr), EPERM, NEVER, first, {{IS, 0, 1}}},
	{CALL(sched_setaffinity), EPERM, NEVER, first, {{IS, 0, 1}}},
	{CALL(setpriority), EPERM, NEVER, first, {{IS, 1, 1}}},
	{CALL(ioprio_set), EPERM, NEVER, first, {{IS, 1, 1}}},
};

static const struct rule cgroup_rules[] = {
	{CALL(clone), EPERM, NEVER, namespaces, {{HAS_ANY_OF, 0, CLONE_NEWCGROUP}}},
	{CALL(unshare), EPERM, NEVER, namespaces, {{HAS_ANY_OF, 0, CLONE_NEWCGROUP}}},
};

/* Answered as if it were done, and not counted: a shell's `ulimit -c 0` is no attack. Another limit
 * than the one that it has would let the host's program for cores run. */
static const struct rule core_rules[] = {
	{CALL(setrlimit), 0, NEVER, NULL, {{IS, 0, RLIMIT_CORE}}},
	{CALL(prlimit64), 0, NEVER, NULL, {{IS, 1, RLIMIT_CORE}, {IS_NOT, 2, 0}}},
	{CALL(prlimit64), 0, NEVER, NULL, {{IS, 1, RLIMIT_CORE}, {IS_NOT, UPPER(2), 0}}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of those that somebody is told of. */
static const struct {
	const struct rule *rule;
	size_t count;
} tables[] = {
	{rules, COUNT(rules)},
	{conditional, COUNT(conditional)},
	{setid_rules, COUNT(setid_rules)},
	{filecaps_rules, COUNT(filecaps_rules)},
	{first_rules, COUNT(first_rules)},
	{cgroup_rules, COUNT(cgroup_rules)},
};

static const struct rule *rule_of(int number)
{
	for (size_t t = 0; t < COUNT(tables); t++)
		for (size_t i = 0; i < tables[t].count; i++)
			if (tables[t].rule[i].number == number)
				return &tables[t].rule[i];
	return NULL;
}

int filter_errno(int number)
{
	const struct rule *rule = rule_of(number);

	return rule ? rule->code : EPERM;
}

const char *filter_hint(int number)
{
	const struct rule *rule = rule_of(number);

	return rule ? rule->hint : surface;
}

void filter_name(int number, char *out, size_t size)
{
	const struct rule *rule = rule_of(number);

	if (rule)
		(void)snprintf(out, size, "%s", rule->name);
	else
		(void)snprintf(out, size, "syscall %d", number);
}

/* Those of the tables that apply, and then in order of their numbers. */
struct chosen {
	struct program_rule list[COUNT(rules) + COUNT(conditional) + COUNT(setid_rules) +
				 COUNT(filecaps_rules) + COUNT(first_rules) + COUNT(cgroup_rules) +
				 COUNT(core_rules)];
	size_t count;
};

static void choose(struct chosen *chosen, const struct rule *rule, size_t count,
		   enum sandbox_profile profile)
{
	for (; count > 0; count--, rule++)
		if (rule->number >= 0 && (int)profile < rule->from)
			chosen->list[chosen->count++] =
				(struct program_rule){.number = (uint32_t)rule->number,
						      .code = (uint16_t)rule->code,
						      .when = rule->when};
}

static int copy(const struct program *p, bool loud, struct sock_fprog *out)
{
	struct sock_filter *code = calloc(p->count, sizeof(*code));

	if (!code)
		return -ENOMEM;
	memcpy(code, p->code, p->count * sizeof(*code));
	if (loud)
		program_ask(code, p->count);
	*out = (struct sock_fprog){.len = (unsigned short)p->count, .filter = code};
	return 0;
}

static int build(enum sandbox_profile profile, unsigned more, struct filter *out)
{
	struct chosen chosen = {.count = 0};
	struct program p;
	struct filter made = {.quiet = {.len = 0}};
	int rc;

	choose(&chosen, rules, COUNT(rules), profile);
	choose(&chosen, conditional, COUNT(conditional), profile);
	choose(&chosen, core_rules, COUNT(core_rules), profile);
	if (more & FILTER_SETID)
		choose(&chosen, setid_rules, COUNT(setid_rules), profile);
	if ((more & FILTER_SETID) && profile == SANDBOX_NESTED) /* elsewhere nobody has the right */
		choose(&chosen, filecaps_rules, COUNT(filecaps_rules), profile);
	if (more & FILTER_FIRST)
		choose(&chosen, first_rules, COUNT(first_rules), profile);
	if ((more & FILTER_CGROUPS) && profile == SANDBOX_NESTED) /* the others deny them all */
		choose(&chosen, cgroup_rules, COUNT(cgroup_rules), profile);
	program_make(chosen.list, chosen.count, &p);
	rc = copy(&p, false, &made.quiet);
	if (rc == 0)
		rc = copy(&p, true, &made.loud);
	if (rc < 0)
		free(made.quiet.filter);
	else
		*out = made;
	return rc;
}

int filter_get(enum sandbox_profile profile, unsigned more, const struct filter **out,
	       struct error *err)
{
	static struct filter made[SANDBOX_NESTED + 1][FILTER_ALL + 1];
	struct filter *filter = &made[profile][more];

	if (!filter->loud.filter) {
		int rc = build(profile, more, filter);

		if (rc < 0)
			return error_set(err, -rc, "build the system call filter");
	}
	*out = filter;
	return 0;
}
