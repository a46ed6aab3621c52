#include "sandbox/cgroup_file.h"

#include "base/owned.h"

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

static int parse(const char *text, uint64_t *out)
{
	char *end;

	if (strncmp(text, "max", 3) == 0) {
		*out = UINT64_MAX;
		return 0;
	}
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || end == text ? -EINVAL : 0;
}

int cgroup_read_number(int dir, const char *file, uint64_t *out)
{
	char text[64];
	int rc = cgroup_read_text(dir, file, text, sizeof(text));

	return rc < 0 ? rc : parse(text, out);
}

static int find(const char *text, const char *key, uint64_t *out)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return parse(line + length + 1, out);
	}
	return -ENOENT;
}

int cgroup_read_keys(int dir, const char *file, const char *const *keys, uint64_t *out,
		     size_t count)
{
	char text[4096] = "";
	int rc = cgroup_read_text(dir, file, text, sizeof(text));

	for (size_t i = 0; i < count && rc >= 0; i++)
		rc = find(text, keys[i], &out[i]);
	return rc < 0 ? rc : 0;
}

int cgroup_read_key(int dir, const char *file, const char *key, uint64_t *out)
{
	return cgroup_read_keys(dir, file, &key, out, 1);
}
