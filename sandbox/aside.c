#include "sandbox/aside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define STACK_SIZE 65536

/* No handler of the caller's may run in the process that has his memory. */
static int clone_quietly(int (*run)(void *argument), void *argument, int flags, int *pidfd,
			 pid_t *pid)
{
	char *stack = malloc(STACK_SIZE);
	sigset_t all, before;
	int code;

	if (!stack)
		return -ENOMEM;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	*pid = clone(run, stack + STACK_SIZE, flags | CLONE_VM | CLONE_VFORK, argument, pidfd);
	code = errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(stack);
	return *pid < 0 ? -code : 0;
}

int aside(unsigned flags, int (*run)(void *argument), void *argument)
{
	pid_t pid;
	int rc = clone_quietly(run, argument, (int)flags, NULL, &pid);

	if (rc == 0)
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	return rc;
}

int aside_leave(int (*run)(void *argument), void *argument, pid_t *pid, int *pidfd)
{
	return clone_quietly(run, argument, CLONE_PIDFD, pidfd, pid);
}
