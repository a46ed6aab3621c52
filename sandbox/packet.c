#include "sandbox/packet.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union ancillary {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
};

int packet_send(int socket, const void *bytes, size_t length, const int *fds, size_t count)
{
	union ancillary space;
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

	if (count) {
		space.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * count),
					      .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&space.head), fds, sizeof(int) * count);
		packet.msg_control = &space;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	}
	while (sendmsg(socket, &packet, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static size_t take(struct msghdr *packet, int *fds)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(packet);
	size_t count;

	if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(head), count * sizeof(int));
	return count;
}

static int wait_for(int socket, int64_t until)
{
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	int rc;

	do {
		int64_t left = until == INT64_MAX ? -1 : until - clock_boot_ms();

		if (until != INT64_MAX && left < 0)
			left = 0;
		rc = poll(&wait, 1, left > INT_MAX ? INT_MAX : (int)left);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return -ETIMEDOUT;
	return rc < 0 ? -errno : 0;
}

ssize_t packet_receive(int socket, int64_t until, void *bytes, size_t size, int *fds, size_t *count)
{
	union ancillary space;
	struct iovec part = {.iov_base = bytes, .iov_len = size};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = sizeof(space)};
	ssize_t n;
	int rc = wait_for(socket, until);

	*count = 0;
	if (rc < 0)
		return rc;
	n = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
	/* The other end was closed with something unread in it; what it said before is still here.
	 */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == ECONNRESET ? 0 : -errno;
	*count = take(&packet, fds);
	if (!(packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	while (*count)
		(void)close(fds[--*count]);
	/* There is room in the packet for as many as are sent. */
	return packet.msg_flags & MSG_TRUNC ? -EPROTO : -EMFILE;
}
