/* tree.c - two levels are open at most: what lies deeper and can't be removed at once moves up into
 * the top under a made-up name, so that neither descriptors nor stack grow with the depth. Each
 * directory moves once, so the work grows with the number of entries only. */
#include "base/tree.h"

#include "base/owned.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct removal {
	int top;          /* the directory that is being removed; -1 until it is open */
	const char *name; /* its name */
	struct error *err;
	uint64_t mount; /* of the directory that holds the top */
	uint64_t moved; /* makes the next name */
	bool removed;   /* something, in this round */
	int postponed;  /* why a directory couldn't move in this round: -errno, or 0 */
};

static int fail(struct removal *r, int code, const char *below, const char *name)
{
	if (r->top < 0)
		return error_set(r->err, code, "remove %s", r->name);
	return error_set(r->err, code, "remove %s/%s%s%s", r->name, below, *below ? "/" : "", name);
}

/* Which mount `fd` is on. Two bind mounts of one file system share a device, so the device is only
 * asked where the kernel doesn't number its mounts (before 5.8, statx(2)). */
static int mount_of(int fd, uint64_t *out)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) < 0)
		return -errno;
	*out = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id
					  : (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	return 0;
}

/* Only /proc can chmod what an O_PATH descriptor stands for. */
void tree_unlock(int path)
{
	char self[48];
	struct stat st;

	if (fstat(path, &st) < 0 || (st.st_mode & S_IRWXU) == S_IRWXU)
		return;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
	(void)chmod(self, (st.st_mode & 07777) | S_IRWXU); /* see above */
}

/* The directory `name`, readable and on the right mount; -EBUSY when something is mounted there. */
static int open_directory(const struct removal *r, int dir, const char *name)
{
	owned_fd path = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t mount = 0;
	int fd, rc;

	if (path < 0)
		return -errno;
	rc = mount_of(path, &mount);
	if (rc < 0)
		return rc;
	if (mount != r->mount)
		return -EBUSY;
	tree_unlock(path);
	fd = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes what isn't a full directory. -ENOTEMPTY: it is one. */
static int remove_entry(struct removal *r, int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 ||
	    (errno == EISDIR && unlinkat(dir, name, AT_REMOVEDIR) == 0) || errno == ENOENT) {
		r->removed = true;
		return 0;
	}
	return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* Moves a full directory into the top, where this or the next round finds it. */
static int move_up(struct removal *r, int dir, const char *name)
{
	bool unlocked = false;

	for (;;) {
		char fresh[32];

		(void)snprintf(fresh, sizeof(fresh), ".removed-%" PRIu64, r->moved++);
		if (renameat(dir, name, r->top, fresh) == 0) {
			r->removed = true;
			return 0;
		}
		if (errno == EACCES && !unlocked) { /* who moves a directory changes its ".." */
			owned_fd fd = open_directory(r, dir, name);

			if (fd < 0)
				return fd;
			unlocked = true;
		} else if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) {
			return -errno;
		}
	}
}

/* No room for one more name in the top; when others have gone there will be. */
static bool is_full(int rc)
{
	return rc == -EMLINK || rc == -ENOSPC || rc == -EDQUOT;
}

/* Empties `below`, an entry of the top, open as `list`. */
static int drain(struct removal *r, const char *below, DIR *list)
{
	const struct dirent *e;

	while (errno = 0, e = readdir(list)) {
		int rc;

		if (is_dot(e->d_name))
			continue;
		rc = remove_entry(r, dirfd(list), e->d_name);
		if (rc == -ENOTEMPTY)
			rc = move_up(r, dirfd(list), e->d_name);
		if (is_full(rc))
			r->postponed = rc;
		else if (rc < 0)
			return fail(r, -rc, below, e->d_name);
	}
	return errno ? fail(r, errno, below, "") : 0;
}

static DIR *open_list(const struct removal *r, int dir, const char *name, int *rc)
{
	owned_fd fd = open_directory(r, dir, name);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	*rc = list ? 0 : fd < 0 ? fd : -errno;
	if (list)
		(void)give_fd(&fd);
	return list;
}

/* An entry of the top goes, unless something in it had to stay for the next round. */
static int remove_below(struct removal *r, const char *name)
{
	int rc = remove_entry(r, r->top, name);
	DIR *list;

	if (rc != -ENOTEMPTY)
		return rc < 0 ? fail(r, -rc, "", name) : 0;
	list = open_list(r, r->top, name, &rc);
	if (!list)
		return rc == -ENOENT ? 0 : fail(r, -rc, "", name);
	rc = drain(r, name, list);
	(void)closedir(list);
	if (rc < 0)
		return rc;
	rc = remove_entry(r, r->top, name);
	return rc < 0 && rc != -ENOTEMPTY ? fail(r, -rc, "", name) : 0;
}

/* One round over the top's entries; `empty` tells that it met none. */
static int remove_round(struct removal *r, DIR *list, bool *empty)
{
	const struct dirent *e;

	*empty = true;
	r->removed = false;
	r->postponed = 0;
	rewinddir(list);
	while (errno = 0, e = readdir(list)) {
		int rc;

		if (is_dot(e->d_name))
			continue;
		*empty = false;
		rc = remove_below(r, e->d_name);
		if (rc < 0)
			return rc;
	}
	if (errno)
		return error_set(r->err, errno, "remove %s", r->name);
	if (!*empty && !r->removed)
		return error_set(r->err, r->postponed ? -r->postponed : ENOTEMPTY, "remove %s",
				 r->name);
	return 0;
}

static int remove_full(struct removal *r, int dir)
{
	bool empty = false;
	DIR *list;
	int rc;

	list = open_list(r, dir, r->name, &rc);
	if (!list)
		return rc == -ENOENT ? 0 : fail(r, -rc, "", "");
	r->top = dirfd(list);
	while (rc == 0 && !empty)
		rc = remove_round(r, list, &empty);
	r->top = -1;
	(void)closedir(list);
	if (rc < 0)
		return rc;
	rc = remove_entry(r, dir, r->name);
	return rc < 0 ? fail(r, -rc, "", "") : 0;
}

int tree_remove(int dir, const char *name, struct error *err)
{
	struct removal r = {.top = -1, .name = name, .err = err};
	owned_fd above = -1;
	int rc = remove_entry(&r, dir, name);

	if (rc == 0)
		return 0;
	if (rc != -ENOTEMPTY)
		return fail(&r, -rc, "", "");
	above = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC); /* `dir` may be AT_FDCWD */
	rc = above < 0 ? -errno : mount_of(above, &r.mount);
	return rc < 0 ? fail(&r, -rc, "", "") : remove_full(&r, dir);
}
