#include "sandbox/ready_root.h"

#include "base/owned.h"
#include "sandbox/aside.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"

#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int make_proc(void *result)
{
	static const struct root_option none[] = {{NULL, NULL}};
	int *out = result;

	*out = root_make_mount("proc", none, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (*out < 0)
		*out = -errno;
	return 0;
}

/* The kernel lets a job mount its /proc only where a whole one stands already. This one is of a
 * process namespace that ends here: nobody will ever be seen in it. */
static int empty_proc(struct plan *plan)
{
	int fd = -EIO, rc = aside(CLONE_NEWPID | CLONE_FILES, make_proc, &fd);

	rc = rc < 0 ? rc : fd;
	if (rc >= 0 && move_mount(fd, "", plan->root, "proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		rc = -errno;
	if (fd >= 0)
		(void)close(fd);
	errno = rc < 0 ? -rc : 0;
	return rc < 0 ? plan_fail(plan, "/proc") : 0;
}

static int attach_root(struct plan *plan)
{
	return move_mount(plan->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0
		       ? plan_fail(plan, "/")
		       : 0;
}

static int build(struct plan *plan)
{
	static int (*const steps[])(struct plan * plan) = {
		root_private, root_tmpfs,   attach_root, root_skeleton, root_system,
		root_etc,     root_devices, empty_proc,  root_pivot,    root_readonly};
	int rc = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++)
		rc = steps[i](plan);
	return rc;
}

/* What it holds belongs to root inside, where there is one, and never to the job. */
static int build_as_owner(struct plan *plan)
{
	bool change = plan->ids.has_root && !plan->ids.privileged;
	uid_t uid = change ? (uid_t)setfsuid(0) : 0;
	gid_t gid = change ? (gid_t)setfsgid(0) : 0;
	mode_t mask = umask(0);
	int rc = build(plan);

	(void)umask(mask);
	if (change) {
		(void)setfsgid(gid);
		(void)setfsuid(uid);
		/* A change of identity made this process secret, and its children with it: nobody
		 * could write their id maps. */
		(void)prctl(PR_SET_DUMPABLE, 1);
	}
	return rc;
}

int ready_root_new(const struct ids *ids, struct error *err)
{
	static const struct sandbox_spec usual = {0};
	struct plan plan = {.spec = &usual, .ids = *ids, .root = -1, .system = SOURCE_NONE};
	owned_fd self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	owned_fd home = openat(self, "ns/mnt", O_RDONLY | O_CLOEXEC), ready = -1;
	int rc;

	if (home < 0 || unshare(CLONE_NEWNS) < 0)
		return error_set(err, errno, "make the ready root's mount namespace");
	rc = build_as_owner(&plan);
	if (rc < 0)
		(void)error_set(err, -rc, "make the ready root: %s%s", plan.failure.detail,
				rc == -EFBIG ? " (this caller's ulimit -f is too small)" : "");
	if (plan.root >= 0)
		(void)close(plan.root);
	if (rc == 0) {
		ready = openat(self, "ns/mnt", O_RDONLY | O_CLOEXEC);
		rc = ready < 0 ? error_set(err, errno, "open the ready root") : 0;
	}
	if (setns(home, CLONE_NEWNS) < 0)
		return error_set(err, errno, "leave the ready root");
	return rc < 0 ? rc : give_fd(&ready);
}
