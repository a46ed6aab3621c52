#include "sandbox/landlock.h"

#include "sandbox/sys.h"

#include <linux/landlock.h>

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
#define FS_OF_FILES  (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define FS_OF_QUEUES (FS_OF_FILES | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

int landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

static int add(int ruleset, const struct landlock_path_beneath_attr *rule)
{
	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0);
}

static int allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	int rc;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (rule.parent_fd < 0) /* a root of the owner's choice may lack it */
		return errno == ENOENT ? 0 : -1;
	rc = add(ruleset, &rule);
	if (rc < 0 && errno == EINVAL) { /* it is a file */
		rule.allowed_access &= FS_OF_FILES;
		rc = add(ruleset, &rule);
	}
	(void)close(rule.parent_fd);
	return rc;
}

/* In /dev the devices and shm, in /proc a process's own files: modes decide there. */
static int allow_usual(struct plan *plan, int ruleset, uint64_t writes)
{
	static const char *const writable[] = {"/tmp", "/var/tmp", ("/home/" SANDBOX_USER), "/dev"};

	for (size_t i = 0; i < sizeof(writable) / sizeof(writable[0]); i++)
		if (allow(ruleset, writable[i], writes) < 0)
			return plan_fail(plan, writable[i]);
	if (allow(ruleset, "/dev/mqueue", writes & FS_OF_QUEUES) < 0)
		return plan_fail(plan, "/dev/mqueue");
	return allow(ruleset, "/proc", writes & FS_OF_FILES) < 0 ? plan_fail(plan, "/proc") : 0;
}

static int allow_own(struct plan *plan, int ruleset, uint64_t writes)
{
	if (allow(ruleset, SANDBOX_WORKTREE, writes) < 0)
		return plan_fail(plan, SANDBOX_WORKTREE);
	for (size_t i = 0; i < plan->bind_count; i++)
		if (plan->binds[i].writable && allow(ruleset, plan->binds[i].target, writes) < 0)
			return plan_fail(plan, plan->binds[i].target);
	return 0;
}

/* What a kernel of that version can be asked to hold. */
static struct ruleset_attr handled(const struct plan *plan, int version)
{
	struct ruleset_attr attr = {0};

	/* A process under file rules may not mount; `nested` needs that. */
	if (version > 0 && plan->spec->profile != SANDBOX_NESTED)
		attr.handled_access_fs = FS_WRITES | (version >= 2 ? FS_REFER : 0) |
					 (version >= 3 ? FS_TRUNCATE : 0);
	if (version >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return attr;
}

int landlock_prepare(struct plan *plan)
{
	int version = landlock_version(), ruleset;
	struct ruleset_attr attr = handled(plan, version);

	if (!attr.handled_access_fs && !attr.scoped)
		return 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
			       version >= 6 ? sizeof(attr) : sizeof(uint64_t), 0);
	if (ruleset < 0)
		return plan_fail(plan, "ruleset");
	plan->landlock = ruleset;
	plan->landlock_writes = attr.handled_access_fs;
	return attr.handled_access_fs ? allow_usual(plan, ruleset, attr.handled_access_fs) : 0;
}

int landlock_apply(struct plan *plan)
{
	int rc = 0;

	if (plan->landlock < 0)
		return 0;
	if (plan->landlock_writes)
		rc = allow_own(plan, plan->landlock, plan->landlock_writes);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, plan->landlock, 0) < 0)
		rc = plan_fail(plan, "restrict");
	return rc;
}
