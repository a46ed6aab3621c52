#include "sandbox/cgroup_file.h"

#include "base/owned.h"
#include "sandbox/cgroup_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int cgroup_read_text(int dir, const char *file, char *out, size_t size)
{
	owned_fd fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return (int)n;
}

int cgroup_write_text(int dir, const char *file, const char *text)
{
	owned_fd fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_write_number(int dir, const char *file, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return cgroup_write_text(dir, file, text);
}

int cgroup_read_number(int dir, const char *file, uint64_t *out)
{
	char text[64];
	int rc = cgroup_read_text(dir, file, text, sizeof(text));

	return rc < 0 ? rc : cgroup_text_number(text, out);
}

int cgroup_put_text(int dir, const char *file, const char *text, char *out, size_t size)
{
	owned_fd fd = openat(dir, file, O_RDWR | O_CLOEXEC);
	ssize_t n = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : pread(fd, out, size - 1, 0);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return (int)n;
}

int cgroup_put_limit(int dir, const char *file, uint64_t value, const char *none, uint64_t *out)
{
	char text[64], got[64];
	int rc;

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	rc = cgroup_put_text(dir, file, value ? text : none, got, sizeof(got));
	return rc < 0 ? rc : cgroup_text_number(got, out);
}
