#include "runner/disk.h"

#include "base/fd.h"
#include "runner/git.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH_MAX 256 /* levels of directories without a repository */

/* --- looking
 * -------------------------------------------------------------------------------------- */

static int disk_kind(void *context, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(*(const int *)context, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? DETECT_NOTHING
			       : error_set(err, errno, "look at %s", path);
	return S_ISDIR(st.st_mode)    ? DETECT_DIRECTORY
	       : !S_ISREG(st.st_mode) ? DETECT_OTHER
	       : st.st_mode & 0100    ? DETECT_EXECUTABLE
				      : DETECT_FILE;
}

static int disk_read(void *context, const char *path, size_t max, struct buffer *out,
		     struct error *err)
{
	int rc = fd_read_file(*(const int *)context, path, max, out);

	return rc < 0 ? error_set(err, -rc, "read %s", path) : 0;
}

static int disk_list(void *context, const char *path, bool (*entry)(void *with, const char *name),
		     void *with, struct error *err)
{
	int fd = openat(*(const int *)context, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		return error_set(err, errno, "look through %s", path);
	for (struct dirent *e; (e = readdir(list));)
		if (entry(with, e->d_name))
			break;
	(void)closedir(list);
	return 0;
}

struct detect_tree disk_tree(const int *fd)
{
	return (struct detect_tree){disk_kind, disk_read, disk_list, (void *)fd};
}

/* --- copying
 * -------------------------------------------------------------------------------------- */

struct copy {
	int from, to;
	uid_t owner;
	struct error *err;
};

static int own(struct copy *c, const char *path)
{
	if (c->owner == (uid_t)-1 ||
	    fchownat(c->to, path, c->owner, c->owner, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return error_set(c->err, errno, "copy %s", path);
}

static int copy_bytes(int from, int to)
{
	char chunk[65536];
	ssize_t n;

	while ((n = fd_read_all(from, chunk, sizeof(chunk))) > 0) {
		int rc = fd_write_all(to, chunk, (size_t)n);

		if (rc < 0)
			return rc;
	}
	return (int)n;
}

static int copy_file(struct copy *c, const char *path, mode_t mode)
{
	owned_fd from = openat(c->from, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	owned_fd to = openat(c->to, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			     mode & 0100 ? 0755 : 0644);
	int rc = from < 0 || to < 0 ? -errno : copy_bytes(from, to);

	return rc < 0 ? error_set(c->err, -rc, "copy %s", path) : own(c, path);
}

static int copy_link(struct copy *c, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(c->from, path, target, sizeof(target) - 1);

	if (n < 0)
		return error_set(c->err, errno, "copy %s", path);
	target[n] = '\0';
	if (symlinkat(target, c->to, path) < 0)
		return error_set(c->err, errno, "copy %s", path);
	return own(c, path);
}

static int make_dir(struct copy *c, const char *path)
{
	if (mkdirat(c->to, path, 0755) < 0)
		return errno == EEXIST ? 0 : error_set(c->err, errno, "copy %s", path);
	return own(c, path);
}

static int make_parents(struct copy *c, const char *path)
{
	char parent[PATH_MAX];
	int rc = 0;

	for (const char *at = strchr(path, '/'); rc == 0 && at; at = strchr(at + 1, '/')) {
		if ((size_t)(at - path) >= sizeof(parent))
			return error_set(c->err, ENAMETOOLONG, "copy %.100s", path);
		memcpy(parent, path, (size_t)(at - path));
		parent[at - path] = '\0';
		rc = make_dir(c, parent);
	}
	return rc;
}

static int copy_entry(struct copy *c, const char *path)
{
	struct stat st;

	if (fstatat(c->from, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set(c->err, errno, "copy %s", path);
	if (S_ISREG(st.st_mode))
		return copy_file(c, path, st.st_mode);
	if (S_ISLNK(st.st_mode))
		return copy_link(c, path);
	return S_ISDIR(st.st_mode) ? make_dir(c, path) : 0;
}

static int copy_tracked(void *context, const char *relative)
{
	struct copy *c = context;
	char path[PATH_MAX];
	size_t length = strlen(relative);
	int rc;

	if (length >= sizeof(path))
		return error_set(c->err, ENAMETOOLONG, "copy %.100s", relative);
	memcpy(path, relative, length + 1);
	if (length && path[length - 1] == '/') /* a repository in the repository */
		path[length - 1] = '\0';
	rc = make_parents(c, path);
	return rc < 0 ? rc : copy_entry(c, path);
}

/* All that is below `path` ("" the top), where no repository says what matters. */
static int copy_all(struct copy *c, const char *path, unsigned depth)
{
	int fd = openat(c->from, *path ? path : ".",
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!list)
		return error_set(c->err, errno, "copy %s", path);
	if (depth > DEPTH_MAX)
		rc = error_set(c->err, ELOOP, "copy %s", path);
	for (struct dirent *e; rc == 0 && (e = readdir(list));) {
		owned_buffer below = {0};

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    strcasecmp(e->d_name, ".git") == 0)
			continue;
		if (buffer_printf(&below, "%s%s%s", path, *path ? "/" : "", e->d_name) < 0)
			rc = error_set(c->err, ENOMEM, "copy %s", path);
		else
			rc = copy_entry(c, below.data);
		if (rc == 0 && disk_kind(&c->from, below.data, NULL) == DETECT_DIRECTORY)
			rc = copy_all(c, below.data, depth + 1);
	}
	(void)closedir(list);
	return rc;
}

int disk_copy(const char *path, int dir, const char *name, uid_t owner, struct error *err)
{
	owned_fd from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1;
	owned_str *root = NULL;
	struct error kept = {0};
	struct copy c = {.owner = owner, .err = err ? err : &kept};
	int rc;

	if (from < 0)
		return error_set(err, errno, "open %s", path);
	if (mkdirat(dir, name, 0755) < 0)
		return error_set(err, errno, "make worktree %s", name);
	to = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0 || (owner != (uid_t)-1 && fchown(to, owner, owner) < 0))
		return error_set(err, errno, "make worktree %s", name);
	c.from = from;
	c.to = to;
	rc = git_working_files(path, &root, copy_tracked, &c, c.err);
	return rc == -ENOENT && !c.err->code ? copy_all(&c, "", 0) : rc;
}
