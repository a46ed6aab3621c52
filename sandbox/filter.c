#include "sandbox/filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "sandbox/filter.c: name this architecture's AUDIT_ARCH"
#endif

/* The last number that was looked at when this list was written (file_setattr); the kernel's
 * numbers have been the same on all architectures since 424. Anything newer is ENOSYS, so that
 * software falls back. */
#define LAST_KNOWN 469

#define NEVER 3 /* no profile allows it */

#define CONDITIONS_MAX 5

/* On the low half of an argument: where one matters here, the kernel looks at that half alone. */
struct condition {
	enum { ALWAYS, HAS_ANY_OF, IS, IS_NOT } is;
	unsigned argument;
	uint32_t value;
};

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

#define NUMBER      offsetof(struct seccomp_data, nr)
#define ARCH        offsetof(struct seccomp_data, arch)
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (n))
#define NOT_HERE    (SECCOMP_RET_ERRNO | ENOSYS)

/* What libseccomp can't say: ranges of numbers. clone3 is answered by the kernel always: a C
 * library tries it at each thread. */
static const struct sock_filter prologue[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_KNOWN, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, NOT_HERE),
};

/* One after the other: the prologue, what looks at arguments, the tree that libseccomp makes. */
struct program {
	struct sock_filter code[BPF_MAXINSNS];
	size_t count;
};

static void append(struct program *p, const struct sock_filter *code, size_t count)
{
	for (size_t i = 0; i < count && p->count < COUNT(p->code); i++)
		p->code[p->count++] = code[i];
}

/* The rules of one call stand beside one another. */
struct calls {
	const struct rule *rule[COUNT(conditional) + COUNT(setid_rules) + COUNT(filecaps_rules) +
				COUNT(first_rules) + COUNT(cgroup_rules)];
	size_t count;
};

static void choose(struct calls *calls, const struct rule *rule, size_t count,
		   enum sandbox_profile profile)
{
	for (; count > 0; count--, rule++)
		if (number_of(rule) >= 0 && (int)profile < rule->from)
			calls->rule[calls->count++] = rule;
}

static size_t conditions_of(const struct rule *rule)
{
	size_t count = 0;

	while (count < CONDITIONS_MAX && rule->when[count].is != ALWAYS)
		count++;
	return count;
}

/* Refuses, or goes on behind itself where a condition doesn't hold. */
static void append_rule(struct program *p, const struct rule *rule)
{
	const struct sock_filter refuse =
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)rule->code);
	size_t left = conditions_of(rule);

	for (const struct condition *c = rule->when; left > 0; c++) {
		unsigned short jump = c->is == HAS_ANY_OF ? BPF_JSET : BPF_JEQ;
		struct sock_filter test[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(c->argument)),
			BPF_JUMP(BPF_JMP | jump | BPF_K, c->value, 0, 0)};

		left--;
		*(c->is == IS_NOT ? &test[1].jt : &test[1].jf) = (unsigned char)(2 * left + 1);
		append(p, test, COUNT(test));
	}
	append(p, &refuse, 1);
}

/* All rules of the first call in the list; what none of them refuses is allowed. How many. */
static size_t append_block(struct program *p, const struct rule *const *rule, size_t count)
{
	const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	int number = number_of(*rule);
	size_t done = 0;

	for (; done < count && number_of(rule[done]) == number; done++)
		append_rule(p, rule[done]);
	append(p, &allow, 1);
	return done;
}

/* One instruction a call that isn't one of them: the kernel runs the program for each number when
 * it takes it over. libseccomp would need a rule for each bit of an argument. */
static int append_calls(struct program *p, const struct calls *calls)
{
	struct sock_filter skip = {.code = BPF_JMP | BPF_JA};
	struct program *blocks = calloc(1, sizeof(*blocks));
	struct sock_filter *table = p->code + p->count;
	size_t entries = 0;

	if (!blocks)
		return -ENOMEM;
	for (size_t i = 0; i < calls->count; entries++) {
		int number = number_of(calls->rule[i]);

		append(p,
		       &(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number,
						     (unsigned char)blocks->count, 0),
		       1);
		i += append_block(blocks, calls->rule + i, calls->count - i);
	}
	assert(entries + blocks->count <= UCHAR_MAX);
	for (size_t i = 0; i < entries; i++) /* past the entries behind it, and the skip */
		table[i].jt = (unsigned char)(table[i].jt + entries - i);
	skip.k = (uint32_t)blocks->count;
	append(p, &skip, 1);
	append(p, blocks->code, blocks->count);
	free(blocks);
	return 0;
}

/* libseccomp writes to a descriptor only. */
static int append_exported(struct program *p, scmp_filter_ctx ctx)
{
	size_t room = (COUNT(p->code) - p->count) * sizeof(p->code[0]);
	int fd = memfd_create("cupel-filter", MFD_CLOEXEC), rc;
	ssize_t size;

	if (fd < 0)
		return -errno;
	rc = seccomp_export_bpf(ctx, fd);
	if (rc == -ECANCELED) /* it could not be written */
		rc = -EFBIG;
	size = rc == 0 ? pread(fd, p->code + p->count, room, 0) : 0;
	(void)close(fd);
	if (size > 0)
		p->count += (size_t)size / sizeof(p->code[0]);
	return size > 0 ? 0 : (rc < 0 ? rc : -EIO);
}

/* A binary tree of the numbers, not a line. */
static int append_tree(struct program *p, enum sandbox_profile profile)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) : -ENOMEM;

	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	for (size_t i = 0; i < COUNT(rules) && rc == 0; i++) {
		int number = number_of(&rules[i]);

		if (number >= 0 && (int)profile < rules[i].from)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)rules[i].code), number,
					      0);
	}
	if (rc == 0)
		rc = append_exported(p, ctx);
	if (ctx)
		seccomp_release(ctx);
	return rc;
}

static int keep(const struct program *p, struct filter *out)
{
	struct sock_filter *quiet = calloc(p->count, sizeof(*quiet));
	struct sock_filter *loud = calloc(p->count, sizeof(*loud));

	if (!quiet || !loud) {
		free(quiet);
		free(loud);
		return -ENOMEM;
	}
	memcpy(quiet, p->code, p->count * sizeof(*quiet));
	memcpy(loud, p->code, p->count * sizeof(*loud));
	for (size_t i = COUNT(prologue); i < p->count; i++)
		if (loud[i].code == (BPF_RET | BPF_K) &&
		    (loud[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
			loud[i].k = SECCOMP_RET_USER_NOTIF;
	out->quiet = (struct sock_fprog){.len = (unsigned short)p->count, .filter = quiet};
	out->loud = (struct sock_fprog){.len = (unsigned short)p->count, .filter = loud};
	return 0;
}

static int build(enum sandbox_profile profile, unsigned more, struct filter *out)
{
	struct program *p = calloc(1, sizeof(*p));
	struct calls calls = {.count = 0};
	int rc;

	if (!p)
		return -ENOMEM;
	choose(&calls, conditional, COUNT(conditional), profile);
	if (more & FILTER_SETID)
		choose(&calls, setid_rules, COUNT(setid_rules), profile);
	if ((more & FILTER_SETID) && profile == SANDBOX_NESTED) /* elsewhere nobody has the right */
		choose(&calls, filecaps_rules, COUNT(filecaps_rules), profile);
	if (more & FILTER_FIRST)
		choose(&calls, first_rules, COUNT(first_rules), profile);
	if ((more & FILTER_CGROUPS) && profile == SANDBOX_NESTED) /* the others deny them all */
		choose(&calls, cgroup_rules, COUNT(cgroup_rules), profile);
	append(p, prologue, COUNT(prologue));
	rc = append_calls(p, &calls);
	if (rc == 0)
		rc = append_tree(p, profile);
	if (rc == 0)
		rc = keep(p, out);
	free(p);
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
			return error_set(err, -rc, "build the system call filter%s",
					 rc == -EFBIG ? " (this caller's ulimit -f is too small)"
						      : "");
	}
	*out = filter;
	return 0;
}
