#include "base/fd.h"

#include "base/owned.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

int fd_write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = write(fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *bytes, size_t length)
{
	size_t got = 0;

	while (got < length) {
		ssize_t n = read(fd, (char *)bytes + got, length - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int read_to_end(int fd, size_t max, struct buffer *out)
{
	size_t left = max;

	for (;;) {
		char chunk[16384];
		ssize_t n = fd_read_all(fd, chunk, sizeof(chunk));
		int rc;

		if (n < 0)
			return (int)n;
		if ((size_t)n > left)
			return -EFBIG;
		rc = buffer_append(out, chunk,
				   (size_t)n); /* nothing, too: `data` is then a string */
		if (rc < 0 || n == 0)
			return rc;
		left -= (size_t)n;
	}
}

int fd_read_file(int dir, const char *name, size_t max, struct buffer *out)
{
	owned_fd fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t start = out->length;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	rc = read_to_end(fd, max, out);
	if (rc < 0 && out->data) {
		out->length = start;
		out->data[start] = '\0';
	}
	return rc;
}

/* Writes and syncs what is to become the file. What a crash has left there goes first: it may have
 * another mode, or another name. */
static int write_synced(int dir, const char *name, const void *bytes, size_t length, mode_t mode)
{
	owned_fd fd = -1;
	int rc;

	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, bytes, length);
	if (rc < 0)
		return rc;
	return fsync(fd) < 0 ? -errno : 0;
}

int fd_replace_file(int dir, const char *name, const void *bytes, size_t length, mode_t mode)
{
	char temporary[NAME_MAX + 1];
	int rc;

	if ((size_t)snprintf(temporary, sizeof(temporary), ".%s.new", name) >= sizeof(temporary))
		return -ENAMETOOLONG;
	rc = write_synced(dir, temporary, bytes, length, mode);
	if (rc == 0 && renameat(dir, temporary, dir, name) < 0)
		rc = -errno;
	if (rc == 0 && fsync(dir) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlinkat(dir, temporary, 0); /* the first failure is the one to tell */
	return rc;
}

int fd_make_path(const char *path, mode_t mode, struct error *err)
{
	char copy[PATH_MAX];
	int fd;

	if (!*path || strlen(path) >= sizeof(copy))
		return error_set(err, *path ? ENAMETOOLONG : ENOENT, "make directory '%.200s'",
				 path);
	strcpy(copy, path);
	for (size_t end = strlen(copy); end > 1 && copy[end - 1] == '/'; end--)
		copy[end - 1] = '\0'; /* else the last directory would count as one above it */
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "make directory %s", copy);
		*at = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s", copy);
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "open directory %s", copy) : fd;
}

int fd_lock(int dir, const char *name)
{
	owned_fd fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return give_fd(&fd);
}

int fd_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}
