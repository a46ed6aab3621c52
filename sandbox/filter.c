#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

struct rule {
	const char *name;
	int code;
	int from; /* the first profile that allows it */
	const char *hint;
	int number; /* for calls that libseccomp 2.5.4 has no name for; else 0 */
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

#define RULES (sizeof(rules) / sizeof(rules[0]))

/* Calls that are denied by their arguments only. */
static const struct rule conditional[] = {
	{"clone", EPERM, SANDBOX_NESTED, nested, 0},
	{"unshare", EPERM, SANDBOX_NESTED, nested, 0},
	{"seccomp", EPERM, SANDBOX_NESTED, nested, 0},
	{"socket", EAFNOSUPPORT, NEVER,
	 "profile: ci (--profile ci) allows netlink; unix, inet and inet6 are allowed always, other families "
	 "by no option",
	 0},
	{"ioctl", EPERM, NEVER, "it would type into a terminal; no option allows it", 0},
	{"personality", EPERM, NEVER, "only ADDR_NO_RANDOMIZE and the native layouts are allowed",
	 0},
	{"chmod", EPERM, NEVER, NULL, 0},
	{"fchmod", EPERM, NEVER, NULL, 0},
	{"fchmodat", EPERM, NEVER, NULL, 0},
	{"fchmodat2", EPERM, NEVER, NULL, 452},
	{"open", EPERM, NEVER, NULL, 0},
	{"openat", EPERM, NEVER, NULL, 0},
	{"creat", EPERM, NEVER, NULL, 0},
	{"mknod", EPERM, NEVER, NULL, 0},
	{"mknodat", EPERM, NEVER, NULL, 0},
	{"openat2", ENOSYS, NEVER, NULL, 0},
};

static const char setid[] =
	"setuid and setgid bits on files that land as root's; a worktree owned by the job's user or "
	"another one than root allows it";

static int number_of(const struct rule *rule)
{
	return rule->number ? rule->number : seccomp_syscall_resolve_name(rule->name);
}

static const struct rule *rule_of(int number)
{
	for (size_t i = 0; i < RULES; i++)
		if (number_of(&rules[i]) == number)
			return &rules[i];
	for (size_t i = 0; i < sizeof(conditional) / sizeof(conditional[0]); i++)
		if (number_of(&conditional[i]) == number)
			return &conditional[i];
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

	if (!rule)
		return surface;
	return rule->hint ? rule->hint : setid;
}

void filter_name(int number, char *out, size_t size)
{
	const struct rule *rule = rule_of(number);

	if (rule)
		(void)snprintf(out, size, "%s", rule->name);
	else
		(void)snprintf(out, size, "syscall %d", number);
}

static int deny(scmp_filter_ctx ctx, const char *name, unsigned count,
		const struct scmp_arg_cmp *compare)
{
	int number = seccomp_syscall_resolve_name(name);
	const struct rule *rule;

	if (number < 0 && strcmp(name, "fchmodat2") == 0)
		number = 452;
	if (number < 0)
		return 0; /* this architecture doesn't have it */
	rule = rule_of(number);
	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO((uint32_t)(rule ? rule->code : EPERM)),
				      number, count, compare);
}

static int deny_bits(scmp_filter_ctx ctx, const char *name, unsigned argument, const uint64_t *bits,
		     size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = deny(ctx, name, 1,
			  &(struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, bits[i], bits[i]});
	return rc;
}

static int deny_namespaces(scmp_filter_ctx ctx)
{
	static const uint64_t bits[] = {CLONE_NEWNS,
					CLONE_NEWUTS,
					CLONE_NEWIPC,
					CLONE_NEWUSER,
					CLONE_NEWPID,
					CLONE_NEWNET,
					0x02000000 /* NEWCGROUP */,
					0x80 /* NEWTIME; in clone() part of the signal */};
	const uint64_t listener = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	int rc = deny_bits(ctx, "clone", 0, bits, sizeof(bits) / sizeof(bits[0]) - 1);

	if (rc == 0)
		rc = deny_bits(ctx, "unshare", 0, bits, sizeof(bits) / sizeof(bits[0]));
	if (rc == 0)
		rc = deny_bits(ctx, "seccomp", 1, &listener, 1);
	return rc;
}

/* The kernel takes an int; the 64-bit comparison denies whatever has high bits set, too. */
static int deny_families(scmp_filter_ctx ctx, enum sandbox_profile profile)
{
	int rc = deny(ctx, "socket", 1, &SCMP_A0(SCMP_CMP_GT, AF_NETLINK));

	for (int family = AF_INET + 1; family < AF_NETLINK && rc == 0; family++)
		if (family != AF_INET6)
			rc = deny(ctx, "socket", 1, &SCMP_A0(SCMP_CMP_EQ, (uint64_t)family));
	if (rc == 0 && profile == SANDBOX_STRICT) {
		const struct scmp_arg_cmp other_than_route[] = {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
								SCMP_A2(SCMP_CMP_NE, 0)};

		rc = deny(ctx, "socket", 2, other_than_route);
	}
	return rc;
}

static int deny_terminals(scmp_filter_ctx ctx)
{
	static const uint64_t commands[] = {TIOCSTI, TIOCLINUX, TIOCSETD};
	int rc = 0;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && rc == 0; i++)
		rc = deny(ctx, "ioctl", 1, &SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, commands[i]));
	return rc;
}

/* gdb and the sanitizers need ADDR_NO_RANDOMIZE (0x40000), old build tools PER_LINUX32 (8) and
 * UNAME26 (0x20000). The query, 0xffffffff, is let through before this. */
static int deny_personalities(scmp_filter_ctx ctx)
{
	const uint32_t allowed = 0x8 | 0x20000 | 0x40000;
	int rc = 0;

	for (int bit = 0; bit < 32 && rc == 0; bit++) {
		uint64_t one = (uint64_t)1 << bit;

		if (!(allowed & one))
			rc = deny_bits(ctx, "personality", 0, &one, 1);
	}
	return rc;
}

static int deny_setid_opens(scmp_filter_ctx ctx, const char *name, unsigned flags)
{
	static const uint64_t creating[] = {O_CREAT, O_TMPFILE}, bits[] = {04000, 02000};
	int rc = 0;

	for (size_t i = 0; i < 4 && rc == 0; i++) {
		uint64_t flag = creating[i / 2], bit = bits[i % 2];
		const struct scmp_arg_cmp compare[] = {
			{flags, SCMP_CMP_MASKED_EQ, flag, flag},
			{flags + 1, SCMP_CMP_MASKED_EQ, bit, bit},
		};

		rc = deny(ctx, name, 2, compare);
	}
	return rc;
}

static int deny_setid_modes(scmp_filter_ctx ctx)
{
	static const struct {
		const char *name;
		unsigned mode;
	} calls[] = {{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2},
		     {"creat", 1}, {"mknod", 1},  {"mknodat", 2}};
	static const uint64_t bits[] = {04000, 02000};
	int rc = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && rc == 0; i++)
		rc = deny_bits(ctx, calls[i].name, calls[i].mode, bits, 2);
	if (rc == 0)
		rc = deny_setid_opens(ctx, "open", 1);
	if (rc == 0)
		rc = deny_setid_opens(ctx, "openat", 2);
	if (rc == 0) /* its mode stands behind a pointer */
		rc = deny(ctx, "openat2", 0, NULL);
	return rc;
}

static int add_rules(scmp_filter_ctx ctx, enum sandbox_profile profile, bool deny_setid)
{
	int rc = 0;

	for (size_t i = 0; i < RULES && rc == 0; i++) {
		int number = number_of(&rules[i]);

		if (number >= 0 && (int)profile < rules[i].from)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)rules[i].code), number,
					      0);
	}
	if (rc == 0 && profile != SANDBOX_NESTED)
		rc = deny_namespaces(ctx);
	if (rc == 0)
		rc = deny_families(ctx, profile);
	if (rc == 0)
		rc = deny_terminals(ctx);
	if (rc == 0)
		rc = deny_personalities(ctx);
	if (rc == 0 && deny_setid)
		rc = deny_setid_modes(ctx);
	return rc;
}

#define NUMBER   offsetof(struct seccomp_data, nr)
#define ARCH     offsetof(struct seccomp_data, arch)
#define ARGUMENT offsetof(struct seccomp_data, args[0])
#define NOT_HERE (SECCOMP_RET_ERRNO | ENOSYS)

/* What libseccomp can't say: ranges of numbers. It is answered by the kernel always: a C library
 * tries clone3 at each thread. */
static const struct sock_filter prologue[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 6),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_KNOWN, 4, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 4),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 1, 2),
	BPF_STMT(BPF_RET | BPF_K, NOT_HERE),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

#define PROLOGUE (sizeof(prologue) / sizeof(prologue[0]))

/* libseccomp writes to a descriptor only. */
static int export_program(scmp_filter_ctx ctx, struct filter *out)
{
	int fd = memfd_create("cupel-filter", MFD_CLOEXEC), rc;
	struct sock_filter *quiet, *loud;
	off_t size;
	size_t count;

	if (fd < 0)
		return -errno;
	rc = seccomp_export_bpf(ctx, fd);
	size = lseek(fd, 0, SEEK_END);
	count = PROLOGUE + (size_t)size / sizeof(*quiet);
	quiet = calloc(count, sizeof(*quiet));
	loud = calloc(count, sizeof(*loud));
	if (rc == 0 && (!quiet || !loud || size <= 0 || count > BPF_MAXINSNS))
		rc = -ENOMEM;
	if (rc == 0 && pread(fd, quiet + PROLOGUE, (size_t)size, 0) != size)
		rc = -EIO;
	(void)close(fd);
	if (rc < 0) {
		free(quiet);
		free(loud);
		return rc;
	}
	memcpy(quiet, prologue, sizeof(prologue));
	memcpy(loud, quiet, count * sizeof(*loud));
	for (size_t i = PROLOGUE; i < count; i++)
		if (loud[i].code == (BPF_RET | BPF_K) &&
		    (loud[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
			loud[i].k = SECCOMP_RET_USER_NOTIF;
	out->quiet = (struct sock_fprog){.len = (unsigned short)count, .filter = quiet};
	out->loud = (struct sock_fprog){.len = (unsigned short)count, .filter = loud};
	return 0;
}

static int build(enum sandbox_profile profile, bool deny_setid, struct filter *out)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (!ctx)
		return -ENOMEM;
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (rc == 0) /* a binary tree, not a line */
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_rules(ctx, profile, deny_setid);
	if (rc == 0)
		rc = export_program(ctx, out);
	seccomp_release(ctx);
	return rc;
}

int filter_get(enum sandbox_profile profile, bool deny_setid, const struct filter **out,
	       struct error *err)
{
	static struct filter made[SANDBOX_NESTED + 1][2];
	struct filter *filter = &made[profile][deny_setid];

	if (!filter->loud.filter) {
		int rc = build(profile, deny_setid, filter);

		if (rc < 0)
			return error_set(err, -rc, "build the system call filter");
	}
	*out = filter;
	return 0;
}
