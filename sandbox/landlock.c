#include "sandbox/landlock.h"

#include "sandbox/sys.h"

#include <linux/landlock.h>
#include <sys/stat.h>

/* Newer than Debian's headers. */
#define FS_REFER            (1ULL << 13)
#define FS_TRUNCATE         (1ULL << 14)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL        (1ULL << 1)

struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

/* Everything that changes files. Reading isn't handled: it would cost each open. */
#define FS_WRITES                                                                                  \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                           \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_OF_FILES (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

int landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

static int allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	struct stat st;
	int rc = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (rule.parent_fd < 0) /* a root of the owner's choice may lack it */
		return errno == ENOENT ? 0 : -1;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		rc = -1;
	(void)close(rule.parent_fd);
	return rc;
}

static int allow_all(struct plan *plan, int ruleset, uint64_t writes)
{
	static const char *const writable[] = {SANDBOX_WORKTREE, "/tmp", "/var/tmp",
					       ("/home/" SANDBOX_USER)};

	for (size_t i = 0; i < sizeof(writable) / sizeof(writable[0]); i++)
		if (allow(ruleset, writable[i], writes) < 0)
			return plan_fail(plan, writable[i]);
	/* In /dev the devices and shm, in /proc a process's own files: modes decide there. */
	if (allow(ruleset, "/dev", writes) < 0 || allow(ruleset, "/proc", writes & FS_OF_FILES) < 0)
		return plan_fail(plan, "/dev");
	for (size_t i = 0; i < plan->bind_count; i++)
		if (plan->binds[i].writable && allow(ruleset, plan->binds[i].target, writes) < 0)
			return plan_fail(plan, plan->binds[i].target);
	return 0;
}

int landlock_apply(struct plan *plan)
{
	int version = landlock_version(), ruleset, rc = 0;
	struct ruleset_attr attr = {0};

	if (version == 0)
		return 0;
	/* A process under file rules may not mount; `nested` needs that. */
	if (plan->spec->profile != SANDBOX_NESTED)
		attr.handled_access_fs = FS_WRITES | (version >= 2 ? FS_REFER : 0) |
					 (version >= 3 ? FS_TRUNCATE : 0);
	if (version >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	if (!attr.handled_access_fs && !attr.scoped)
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
			       version >= 6 ? sizeof(attr) : sizeof(uint64_t), 0);
	if (ruleset < 0)
		return plan_fail(plan, "ruleset");
	if (attr.handled_access_fs)
		rc = allow_all(plan, ruleset, attr.handled_access_fs);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = plan_fail(plan, "restrict");
	(void)close(ruleset);
	return rc;
}
