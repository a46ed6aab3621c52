#include "sandbox/network.h"

#include "base/owned.h"
#include "sandbox/sandbox.h"
#include "sandbox/sys.h"

#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STACK_SIZE 65536

int network_loopback(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	owned_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ? -errno : 0;
}

int network_enter(int fd, struct error *err)
{
	owned_fd home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0 || setns(fd, CLONE_NEWNET) < 0)
		return error_set(err, errno, "enter the network namespace that was made ahead");
	return give_fd(&home);
}

/* Runs in the caller's memory and with his descriptors, so that what it opens is his. */
static int make(void *result)
{
	int *out = result;
	int rc;

	if (unshare(CLONE_NEWNET) < 0) {
		*out = -errno;
		return 0;
	}
	rc = network_loopback();
	*out = rc < 0 ? rc : open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*out == -1)
		*out = -errno;
	return 0;
}

int sandbox_network_new(struct error *err)
{
	char *stack = malloc(STACK_SIZE);
	int result = -EIO;
	pid_t pid;

	if (!stack)
		return error_set(err, ENOMEM, "make a network namespace");
	pid = clone(make, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES, &result);
	if (pid < 0)
		result = -errno;
	else
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	free(stack);
	return result < 0 ? error_set(err, -result, "make a network namespace") : result;
}
