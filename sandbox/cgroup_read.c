/* Reading what a group says of its job, from files that were opened ahead where they were. */
#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_group.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_last(const struct group *g, size_t i)
{
	return i < GROUP_FILES_MAX && g->ops->last_read[i].name;
}

/* The caller's descriptors are for what he needs: the first that isn't kept. */
static rlim_t first_not_kept(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur / 4;
}

/* -1: it isn't open. */
static int *ahead(struct group *g, size_t i)
{
	while (g->ahead_count <= i)
		g->ahead[g->ahead_count++] = -1;
	return &g->ahead[i];
}

/* True when it wasn't open before; -1 and errno in *fd when it can't be. */
static bool open_one(const struct group *g, size_t i, int *fd)
{
	const struct group_file *file = &g->ops->last_read[i];

	if (*fd >= 0 || (g->controllers & file->controllers) != file->controllers)
		return false;
	*fd = openat(g->dir, file->name, O_RDONLY | O_CLOEXEC);
	return true;
}

/* What isn't open is opened when it is read, and what is wrong told then. */
void group_open_ahead(struct group *g)
{
	rlim_t end = first_not_kept();

	for (size_t i = 0; is_last(g, i); i++) {
		int *fd = ahead(g, i);

		if (open_one(g, i, fd) && *fd >= 0 && (rlim_t)*fd >= end) {
			(void)close(*fd);
			*fd = -1;
		}
	}
}

int group_open(struct group *g, unsigned tells)
{
	for (size_t i = 0; is_last(g, i); i++) {
		int *fd = ahead(g, i);

		if ((g->ops->last_read[i].tells & tells) && open_one(g, i, fd) && *fd < 0 &&
		    errno != ENOENT)
			return -errno;
	}
	return 0;
}

bool group_is_gone(int rc)
{
	return rc == -ENODEV || rc == -ENOENT;
}

void group_close_ahead(struct group *g)
{
	while (g->ahead_count)
		if (g->ahead[--g->ahead_count] >= 0)
			(void)close(g->ahead[g->ahead_count]);
}

int group_text(const struct group *g, const char *file, char *out, size_t size)
{
	for (size_t i = 0; i < g->ahead_count; i++) {
		ssize_t n;

		if (g->ahead[i] < 0 || strcmp(g->ops->last_read[i].name, file) != 0)
			continue;
		n = pread(g->ahead[i], out, size - 1, 0); /* made anew at each reading from 0 */
		if (n < 0)
			return -errno;
		out[n] = '\0';
		return (int)n;
	}
	return cgroup_read_text(g->dir, file, out, size);
}

int group_number(const struct group *g, const char *file, uint64_t *out)
{
	char text[64];
	int rc = group_text(g, file, text, sizeof(text));

	return rc < 0 ? rc : cgroup_text_number(text, out);
}

int group_keys(const struct group *g, const char *file, const char *const *keys, uint64_t *out,
	       size_t count)
{
	char text[4096] = "";
	int rc = group_text(g, file, text, sizeof(text));

	for (size_t i = 0; i < count && rc >= 0; i++)
		rc = cgroup_text_key(text, keys[i], &out[i]);
	return rc < 0 ? rc : 0;
}

int group_key(const struct group *g, const char *file, const char *key, uint64_t *out)
{
	return group_keys(g, file, &key, out, 1);
}
