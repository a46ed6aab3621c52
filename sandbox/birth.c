#include "sandbox/birth.h"

#include "sandbox/sys.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>

/* Its memory goes first, and with that the way to its maps; the rest of an exit is soon done. */
#define EXIT_MS 200

/* Without CLONE_INTO_CGROUP, or not into this group. */
static bool refused_group(int code)
{
	return code == EACCES || code == EBUSY || code == EOPNOTSUPP || code == ENOSYS ||
	       code == EINVAL || code == E2BIG;
}

static atomic_bool outside;

void birth_stay_outside(void)
{
	outside = true;
}

bool birth_stays_outside(void)
{
	return outside;
}

static pid_t try(bool network, int group, int *pidfd, bool *born_inside)
{
	uint64_t flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_PIDFD | (network ? CLONE_NEWNET : 0);
	struct clone_args args = {
		.flags = flags | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.cgroup = (uint64_t)group,
	};
	pid_t pid;

	*born_inside = group >= 0 && !outside;
	if (*born_inside) {
		pid = sys_clone3(&args);
		if (pid >= 0 || !refused_group(errno))
			return pid;
		*born_inside = false;
	}
	args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
	args.cgroup = 0;
	pid = sys_clone3(&args);
	if (pid < 0 && errno == ENOSYS)
		pid = sys_clone(flags, pidfd);
	return pid;
}

pid_t birth(uid_t owner, bool network, int group, int *pidfd, bool *born_inside)
{
	struct guise guise;
	pid_t pid;

	guise_wear(owner, &guise);
	pid = try(network, group, pidfd, born_inside);
	if (pid == 0)
		return 0;
	guise_drop(&guise);
	if (pid < 0) /* the kernel tells the number before it fails, and takes it back silently */
		*pidfd = -1;
	return pid;
}

bool birth_has_ended(int pidfd)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};

	return poll(&wait, 1, EXIT_MS) > 0;
}
