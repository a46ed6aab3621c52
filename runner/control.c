#include "runner/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* By the directory's descriptor: a spool's path may be longer than an address can be. */
static struct sockaddr_un address_in(int spool_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control",
		       spool_dir);
	return address;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int control_listen(int spool_dir, struct error *err)
{
	struct sockaddr_un address = address_in(spool_dir);
	int fd = new_socket();
	int rc;

	if (fd < 0)
		return error_set(err, -fd, "make the control socket");
	(void)unlinkat(spool_dir, "control", 0); /* bind tells what else is wrong */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4) == 0)
		return fd;
	rc = error_set(err, errno, "make the control socket");
	(void)close(fd);
	return rc;
}

int control_connect(int spool_dir, struct error *err)
{
	struct sockaddr_un address = address_in(spool_dir);
	int fd = new_socket();
	int rc;

	if (fd < 0)
		return error_set(err, -fd, "make the control socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = error_set(err, errno, "reach the supervisor");
	(void)close(fd);
	return rc;
}

int control_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int send_record(int fd, const void *record, size_t length)
{
	ssize_t n = send(fd, record, length, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : 0;
}

static int receive_record(int fd, void *record, size_t length)
{
	uint32_t version;
	ssize_t n = recv(fd, record, length, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	memcpy(&version, record, sizeof(version));
	return (size_t)n == length && version == CONTROL_VERSION ? 1 : -EPROTO;
}

int control_send_order(int fd, const struct control_order *o)
{
	return send_record(fd, o, sizeof(*o));
}

int control_send_report(int fd, const struct control_report *r)
{
	return send_record(fd, r, sizeof(*r));
}

int control_receive_order(int fd, struct control_order *out)
{
	return receive_record(fd, out, sizeof(*out));
}

int control_receive_report(int fd, struct control_report *out)
{
	return receive_record(fd, out, sizeof(*out));
}
