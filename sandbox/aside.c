#include "sandbox/aside.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

#define STACK_SIZE 65536

int aside(unsigned flags, int (*run)(void *argument), void *argument)
{
	char *stack = malloc(STACK_SIZE);
	int rc = 0;
	pid_t pid;

	if (!stack)
		return -ENOMEM;
	pid = clone(run, stack + STACK_SIZE, (int)(flags | CLONE_VM | CLONE_VFORK), argument);
	if (pid < 0)
		rc = -errno;
	else
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	free(stack);
	return rc;
}

int aside_leave(int (*run)(void *argument), void *argument, pid_t *pid, int *pidfd)
{
	char *stack = malloc(STACK_SIZE);
	int rc;

	if (!stack)
		return -ENOMEM;
	*pid = clone(run, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, argument,
		     pidfd);
	rc = *pid < 0 ? -errno : 0;
	free(stack);
	return rc;
}
