#include "sandbox/network.h"

#include "base/owned.h"
#include "sandbox/aside.h"
#include "sandbox/sandbox.h"
#include "sandbox/sys.h"

#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int network_loopback(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	owned_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ? -errno : 0;
}

int network_unshare(void)
{
	int rc, fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	rc = network_loopback();
	fd = rc < 0 ? rc : open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

int network_check(int fd, struct error *err)
{
	if (ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET)
		return 0;
	return error_say(err, EINVAL,
			 "network_fd %d is no network namespace; give one from "
			 "sandbox_network_new() that is still open",
			 fd);
}

int network_enter(int fd, struct error *err)
{
	owned_fd home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0 || setns(fd, CLONE_NEWNET) < 0)
		return error_set(err, errno, "enter the network namespace that was made ahead");
	return give_fd(&home);
}

/* Runs in the caller's memory and with his descriptors, so that what it opens is his. */
static int make(void *result)
{
	int *out = result;

	*out = network_unshare();
	return 0;
}

int sandbox_network_new(struct error *err)
{
	int result = -EIO, rc = aside(CLONE_FILES, make, &result);

	result = rc < 0 ? rc : result;
	return result < 0 ? error_set(err, -result, "make a network namespace") : result;
}
