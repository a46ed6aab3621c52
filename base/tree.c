/* Removes with two levels open at most: whatever lies deeper is first moved up into the top under a
 * made-up name, so that neither descriptors nor stack grow with the depth. */
#include "base/tree.h"

#include "base/owned.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct removal {
	int top; /* the directory that is being removed */
	dev_t device;
	const char *name; /* for messages */
	uint64_t moved;   /* makes the next name */
	struct error *err;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Opens a directory below `dir` and makes sure that we may change it. */
static int open_for_removal(struct removal *r, int dir, const char *name)
{
	owned_fd fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == EACCES) {
		owned_fd path = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		char self[64];

		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
		if (path >= 0 && chmod(self, 0700) == 0) /* the directory itself: opened without following */
			fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		else
			errno = EACCES;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != r->device)
		return -EBUSY;
	if ((st.st_mode & 0700) != 0700)
		(void)fchmod(fd, 0700); /* when it fails, unlinking tells */
	return give_fd(&fd);
}

/* Moves a full directory into the top, where the next round finds it. */
static int move_up(struct removal *r, int dir, const char *name)
{
	char fresh[64];

	for (;;) {
		(void)snprintf(fresh, sizeof(fresh), ".removed-%llu", (unsigned long long)r->moved++);
		if (renameat2(dir, name, r->top, fresh, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno == EACCES) { /* a directory that moves must be writable itself */
			owned_fd fd = open_for_removal(r, dir, name);

			if (fd >= 0 && renameat2(dir, name, r->top, fresh, RENAME_NOREPLACE) == 0)
				return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
}

/* One entry of `dir`: gone, or (`deep`) moved up. */
static int remove_entry(struct removal *r, int dir, const struct dirent *e, bool deep, bool *full)
{
	if (e->d_type != DT_DIR && unlinkat(dir, e->d_name, 0) == 0)
		return 0;
	if (e->d_type != DT_DIR && errno != EISDIR && errno != EPERM)
		return errno == ENOENT ? 0 : -errno;
	if (unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	*full = true;
	return deep ? move_up(r, dir, e->d_name) : 0;
}

typedef int (*entry_fn)(struct removal *r, int dir, const struct dirent *e, bool *full);

static int each_entry(struct removal *r, int dir, entry_fn fn, bool *full)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	int rc = 0;

	if (!list) {
		rc = -errno;
		if (copy >= 0)
			(void)close(copy);
		return rc;
	}
	while (rc == 0 && (errno = 0, e = readdir(list)))
		if (!is_dot(e->d_name)) {
			rc = fn(r, dir, e, full);
			if (rc < 0)
				(void)error_set(r->err, -rc, "remove %s: %s", r->name, e->d_name);
		}
	if (rc == 0 && errno)
		rc = error_set(r->err, errno, "remove %s", r->name);
	(void)closedir(list);
	return rc;
}

static int remove_deep(struct removal *r, int dir, const struct dirent *e, bool *full)
{
	return remove_entry(r, dir, e, true, full);
}

/* An entry of the top: what is inside is unlinked or moved up, then it goes itself. */
static int remove_top(struct removal *r, int dir, const struct dirent *e, bool *full)
{
	bool is_full = false, ignored = false;
	int rc = remove_entry(r, dir, e, false, &is_full);
	owned_fd fd = -1;

	if (rc < 0 || !is_full)
		return rc;
	fd = open_for_removal(r, dir, e->d_name);
	if (fd < 0)
		return fd;
	*full = true; /* something may have been moved up: one more round */
	rc = each_entry(r, fd, remove_deep, &ignored);
	if (rc < 0)
		return rc;
	return unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTEMPTY ? 0 : -errno;
}

int tree_remove(int dir, const char *name, struct error *err)
{
	struct removal r = {.name = name, .err = err};
	owned_fd top = -1;
	struct stat st;
	bool again = true;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "remove %s", name);
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? error_set(err, errno, "remove %s", name)
								     : 0;
	r.device = st.st_dev;
	top = open_for_removal(&r, dir, name);
	if (top < 0)
		return error_set(err, -top, "remove %s", name);
	r.top = top;
	while (again) {
		int rc;

		again = false;
		rc = each_entry(&r, top, remove_top, &again);
		if (rc < 0)
			return rc;
	}
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set(err, errno, "remove %s", name);
	return 0;
}
