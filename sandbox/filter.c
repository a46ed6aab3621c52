#include "sandbox/filter.h"

#include "sandbox/filter_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define NEVER 3 /* no profile allows it */

struct rule {
	const char *name;
	int code;
	int from; /* the first profile that allows it */
	const char *hint;
	int number; /* for calls that libseccomp 2.5.4 has no name for; else 0 */
	struct condition when[CONDITIONS_MAX]; /* all hold; none: always */
};

static const char nested[] = "profile: nested (--profile nested) allows it";
static const char ci[] = "profile: ci (--profile ci) allows it";
static const char host[] = "it administers the host; no option allows it";
static const char surface[] = "it widens the kernel's attack surface; no option allows it";
static const char falls_back[] = "software falls back to older calls; no option allows it";

static const struct rule rules[] = {
	{"ptrace", EPERM, SANDBOX_CI, ci, 0},
	{"process_vm_readv", EPERM, SANDBOX_CI, ci, 0},
	{"process_vm_writev", EPERM, SANDBOX_CI, ci, 0},

	{"setns", EPERM, SANDBOX_NESTED, nested, 0},
	{"mount", EPERM, SANDBOX_NESTED, nested, 0},
	{"umount2", EPERM, SANDBOX_NESTED, nested, 0},
	{"pivot_root", EPERM, SANDBOX_NESTED, nested, 0},
	{"chroot", EPERM, SANDBOX_NESTED, nested, 0},
	{"fsopen", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"fsconfig", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"fsmount", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"fspick", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"open_tree", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"move_mount", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"mount_setattr", ENOSYS, SANDBOX_NESTED, nested, 0},
	{"open_tree_attr", ENOSYS, SANDBOX_NESTED, nested, 467},

	{"kexec_load", EPERM, NEVER, host, 0},
	{"kexec_file_load", EPERM, NEVER, host, 0},
	{"init_module", EPERM, NEVER, host, 0},
	{"finit_module", EPERM, NEVER, host, 0},
	{"delete_module", EPERM, NEVER, host, 0},
	{"create_module", ENOSYS, NEVER, host, 0},
	{"query_module", ENOSYS, NEVER, host, 0},
	{"reboot", EPERM, NEVER, host, 0},
	{"swapon", EPERM, NEVER, host, 0},
	{"swapoff", EPERM, NEVER, host, 0},
	{"settimeofday", EPERM, NEVER, host, 0},
	{"clock_settime", EPERM, NEVER, host, 0},
	{"iopl", EPERM, NEVER, host, 0},
	{"ioperm", EPERM, NEVER, host, 0},
	{"acct", EPERM, NEVER, host, 0},
	{"quotactl", EPERM, NEVER, host, 0},
	{"quotactl_fd", EPERM, NEVER, host, 443},
	{"syslog", EPERM, NEVER, host, 0},
	{"vhangup", EPERM, NEVER, host, 0},
	{"nfsservctl", ENOSYS, NEVER, host, 0},
	{"uselib", ENOSYS, NEVER, host, 0},

	{"io_uring_setup", ENOSYS, NEVER, falls_back, 0},
	{"io_uring_enter", ENOSYS, NEVER, falls_back, 0},
	{"io_uring_register", ENOSYS, NEVER, falls_back, 0},
	{"memfd_secret", ENOSYS, NEVER, falls_back, 447},
	{"keyctl", ENOSYS, NEVER, "keyrings reach beyond the sandbox; no option allows it", 0},
	{"add_key", ENOSYS, NEVER, "keyrings reach beyond the sandbox; no option allows it", 0},
	{"request_key", ENOSYS, NEVER, "keyrings reach beyond the sandbox; no option allows it", 0},
	{"bpf", EPERM, NEVER, surface, 0},
	{"perf_event_open", EPERM, NEVER, surface, 0},
	{"userfaultfd", EPERM, NEVER, surface, 0},
	{"vmsplice", EPERM, NEVER, surface, 0},
	{"open_by_handle_at", EPERM, NEVER, surface, 0},
	{"name_to_handle_at", EOPNOTSUPP, NEVER, surface, 0},
	{"fanotify_init", EPERM, NEVER, surface, 0},
	{"lookup_dcookie", EPERM, NEVER, surface, 0},
	{"kcmp", EPERM, NEVER, surface, 0},
	{"pidfd_getfd", EPERM, NEVER, surface, 0},
	{"process_madvise", EPERM, NEVER, surface, 0},
	{"modify_ldt", EPERM, NEVER, surface, 0},
	{"mbind", EPERM, NEVER, surface, 0},
	{"set_mempolicy", EPERM, NEVER, surface, 0},
	{"set_mempolicy_home_node", EPERM, NEVER, surface, 450},
	{"migrate_pages", EPERM, NEVER, surface, 0},
	{"move_pages", EPERM, NEVER, surface, 0},
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
	{"clone", EPERM, SANDBOX_NESTED, namespaces, 0, {{HAS_ANY_OF, 0, NAMESPACES}}},
	{"unshare", EPERM, SANDBOX_NESTED, namespaces, 0, {{HAS_ANY_OF, 0, NAMESPACES | NEWTIME}}},
	{"seccomp",
	 EPERM,
	 SANDBOX_NESTED,
	 nested,
	 0,
	 {{HAS_ANY_OF, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER}}},
	{"socket",
	 EAFNOSUPPORT,
	 NEVER,
	 families,
	 0,
	 {{IS_NOT, 0, AF_UNSPEC},
	  {IS_NOT, 0, AF_UNIX},
	  {IS_NOT, 0, AF_INET},
	  {IS_NOT, 0, AF_INET6},
	  {IS_NOT, 0, AF_NETLINK}}},
	{"socket",
	 EAFNOSUPPORT,
	 SANDBOX_CI,
	 families,
	 0,
	 {{IS, 0, AF_NETLINK}, {IS_NOT, 2, NETLINK_ROUTE}}},
	{"ioctl", EPERM, NEVER, typing, 0, {{IS, 1, TIOCSTI}}},
	{"ioctl", EPERM, NEVER, typing, 0, {{IS, 1, TIOCLINUX}}},
	{"ioctl", EPERM, NEVER, typing, 0, {{IS, 1, TIOCSETD}}},
	{"personality",
	 EPERM,
	 NEVER,
	 "only ADDR_NO_RANDOMIZE and the native layouts are allowed",
	 0,
	 {{IS_NOT, 0, QUERY}, {HAS_ANY_OF, 0, ~(uint32_t)PERSONALITIES}}},
};

static const char setid[] =
	"setuid and setgid bits on files that land as root's; a worktree owned by the job's user or "
	"another one than root allows it";

#define SETID_BITS (S_ISUID | S_ISGID)
#define CREATING   (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static const struct rule setid_rules[] = {
	{"chmod", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{"fchmod", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{"fchmodat", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{"fchmodat2", EPERM, NEVER, setid, 452, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{"creat", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{"mknod", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 1, SETID_BITS}}},
	{"mknodat", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 2, SETID_BITS}}},
	{"open", EPERM, NEVER, setid, 0, {{HAS_ANY_OF, 1, CREATING}, {HAS_ANY_OF, 2, SETID_BITS}}},
	{"openat",
	 EPERM,
	 NEVER,
	 setid,
	 0,
	 {{HAS_ANY_OF, 2, CREATING}, {HAS_ANY_OF, 3, SETID_BITS}}},
	{"openat2", ENOSYS, NEVER, setid, 0, {{ALWAYS}}}, /* its mode stands behind a pointer */
};

static const char filecaps[] =
	"extended attributes on files that land as root's, where the job may make user namespaces; a "
	"worktree owned by the job's user or another one than root allows it, and so does profile: ci "
	"(--profile ci)";

static const struct rule filecaps_rules[] = {
	{"setxattr", EOPNOTSUPP, NEVER, filecaps, 0, {{ALWAYS}}}, /* the name is behind a pointer */
	{"lsetxattr", EOPNOTSUPP, NEVER, filecaps, 0, {{ALWAYS}}},
	{"fsetxattr", EOPNOTSUPP, NEVER, filecaps, 0, {{ALWAYS}}},
	{"setxattrat", ENOSYS, NEVER, filecaps, 463, {{ALWAYS}}},
};

static const char first[] = "process 1 holds the sandbox and belongs to this user here; no option "
			    "allows it (with ids of its own in /etc/subuid it wouldn't matter)";

/* pid 1 of the job; these see nothing of who is who. */
static const struct rule first_rules[] = {
	{"prlimit64", EPERM, NEVER, first, 0, {{IS, 0, 1}}},
	{"sched_setparam", EPERM, NEVER, first, 0, {{IS, 0, 1}}},
	{"sched_setscheduler", EPERM, NEVER, first, 0, {{IS, 0, 1}}},
	{"sched_setattr", EPERM, NEVER, first, 0, {{IS, 0, 1}}},
	{"sched_setaffinity", EPERM, NEVER, first, 0, {{IS, 0, 1}}},
	{"setpriority", EPERM, NEVER, first, 0, {{IS, 1, 1}}},
	{"ioprio_set", EPERM, NEVER, first, 0, {{IS, 1, 1}}},
};

static const struct rule cgroup_rules[] = {
	{"clone", EPERM, NEVER, namespaces, 0, {{HAS_ANY_OF, 0, CLONE_NEWCGROUP}}},
	{"unshare", EPERM, NEVER, namespaces, 0, {{HAS_ANY_OF, 0, CLONE_NEWCGROUP}}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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

static int number_of(const struct rule *rule)
{
	return rule->number ? rule->number : seccomp_syscall_resolve_name(rule->name);
}

static const struct rule *rule_of(int number)
{
	for (size_t t = 0; t < COUNT(tables); t++)
		for (size_t i = 0; i < tables[t].count; i++)
			if (number_of(&tables[t].rule[i]) == number)
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
				 COUNT(filecaps_rules) + COUNT(first_rules) + COUNT(cgroup_rules)];
	size_t count;
};

static void choose(struct chosen *chosen, const struct rule *rule, size_t count,
		   enum sandbox_profile profile)
{
	for (; count > 0; count--, rule++)
		if (number_of(rule) >= 0 && (int)profile < rule->from)
			chosen->list[chosen->count++] =
				(struct program_rule){.number = (uint32_t)number_of(rule),
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
