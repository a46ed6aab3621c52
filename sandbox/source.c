#include "sandbox/source.h"

#include "sandbox/host_dir.h"
#include "sandbox/submounts.h"
#include "sandbox/sys.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>

void source_done(struct source *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->path);
	*s = SOURCE_NONE;
}

/* Sets what every mount of ours has. */
static int seal(int fd, unsigned flags)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID |
			    (flags & SOURCE_DEVICE ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV) |
			    (flags & SOURCE_READONLY ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	unsigned recursive = flags & SOURCE_ALONE ? 0 : AT_RECURSIVE;

	return mount_setattr(fd, "", AT_EMPTY_PATH | recursive, &attr, sizeof(attr));
}

int source_mount(int dir, const char *path, unsigned flags)
{
	unsigned recursive = flags & SOURCE_ALONE ? 0 : AT_RECURSIVE;
	int fd = open_tree(dir, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive |
				   (*path ? 0 : AT_EMPTY_PATH));

	if (fd >= 0 && seal(fd, flags) < 0) {
		int code = errno;

		(void)close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

/* Where the kernel sees it. */
static int find_path(struct source *s)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", s->fd);
	n = readlink(link, path, sizeof(path));
	if (n < 0 || (size_t)n >= sizeof(path))
		return n < 0 ? -errno : -ENAMETOOLONG;
	s->path = strndup(path, (size_t)n);
	return s->path ? 0 : -ENOMEM;
}

/* On this mount the owner of the thing looks as the job's user, and nobody else is known. */
static int map_owner(struct source *s, const struct ids *ids, const struct stat *st,
		     const char *what, struct error *err)
{
	owned_fd ns = ids_mount_namespace(ids, st->st_uid, st->st_gid, err);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns};

	if (ns < 0)
		return ns;
	if (mount_setattr(s->fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_say(
			err, EOPNOTSUPP,
			"%s belongs to user %u, and this kernel or file system can't map that to "
			"the job's user (%s); give it to user %u, or put it on ext4, xfs or btrfs",
			what, st->st_uid, strerror(errno), ids->job_uid);
	s->lands_as_root = st->st_uid == 0 || st->st_gid == 0;
	return 0;
}

/* Root's way: the mount is made here, from the descriptor, and no path is needed again. */
static int detach_as_root(struct source *s, const struct ids *ids, const struct stat *st,
			  const char *what, struct error *err)
{
	unsigned flags = s->writable ? SOURCE_ALONE : SOURCE_READONLY;
	int fd = source_mount(s->fd, "", flags);

	if (fd < 0)
		return error_set(err, errno, "clone the mount of %s", what);
	(void)close(s->fd);
	s->fd = fd;
	s->detached = true;
	s->alone = flags & SOURCE_ALONE;
	if (!s->writable || st->st_uid == ids->job_uid)
		return 0;
	return map_owner(s, ids, st, what, err);
}

/* Takes `fd` over. `path` is real, or root's, who needs none; NULL: it is to be found. */
static int identify(struct source *s, int fd, const char *path, struct stat *st, const char *what,
		    struct error *err)
{
	int rc;

	s->fd = fd;
	if (fstat(fd, st) < 0)
		return error_set(err, errno, "look at %s", what);
	s->device = st->st_dev;
	s->inode = st->st_ino;
	s->directory = S_ISDIR(st->st_mode);
	if (path)
		rc = (s->path = strdup(path)) ? 0 : -ENOMEM;
	else
		rc = find_path(s);
	return rc < 0 ? error_set(err, -rc, "find the path of %s", what) : 0;
}

static int make_usable(struct source *s, const struct ids *ids, const struct stat *st,
		       const char *what, struct error *err)
{
	if (ids->privileged)
		return detach_as_root(s, ids, st, what, err);
	if (s->writable && s->directory && faccessat(s->fd, "", W_OK | X_OK, AT_EMPTY_PATH) < 0)
		return error_say(err, errno,
				 "%s (%.200s) is not writable for this user (uid %u): %s; make it "
				 "his, or choose a directory of his",
				 what, s->path, geteuid(), strerror(errno));
	return 0;
}

/* A command started in `/` by habit would hand it all over. */
static int refuse_host(const struct source *s, const struct stat *st, const char *what,
		       struct error *err)
{
	const char *name = host_dir_name(s->path, st);

	return name ? error_say(err, EINVAL,
				"%s is the host's own %s, which the job could then write; give it "
				"a directory made for it",
				what, name)
		    : 0;
}

static int fill(struct source *s, int fd, const char *path, const struct ids *ids, const char *what,
		struct error *err)
{
	struct stat st;
	int rc = identify(s, fd, path, &st, what, err);

	if (rc == 0 && s->writable)
		rc = refuse_host(s, &st, what, err);
	return rc < 0 ? rc : make_usable(s, ids, &st, what, err);
}

/* A path that leads nowhere is the spec's own fault. */
static int misnamed(const char *what, const char *path, struct error *err)
{
	int code = errno;
	bool own = code == ENOENT || code == ENOTDIR || code == ENAMETOOLONG || code == ELOOP;

	return error_say(err, own ? EINVAL : code, "%s '%.200s': %s", what, path, strerror(code));
}

static int open_plain(const char *path, const char *what, struct error *err)
{
	int fd = sys_openat2(AT_FDCWD, path, O_PATH, 0);

	if (fd >= 0)
		return fd;
	if (errno == ELOOP)
		return error_say(
			err, EINVAL,
			"%s '%.200s' is or goes through a symbolic link, which somebody could "
			"turn; give the real path",
			what, path);
	return misnamed(what, path, err);
}

/* The owner of the box names his worktree as he likes; only its last component must be real. */
static int open_worktree(const char *path, struct error *err)
{
	char real[PATH_MAX];
	size_t length = strnlen(path, sizeof(real));
	struct stat st;
	int fd;

	while (length > 1 && path[length - 1] == '/') /* it would have a link followed */
		length--;
	errno = ENAMETOOLONG;
	fd = snprintf(real, sizeof(real), "%.*s", (int)length, path) < (int)sizeof(real)
		     ? open(real, O_PATH | O_NOFOLLOW | O_CLOEXEC)
		     : -1;
	if (fd < 0)
		return misnamed("worktree", path, err);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return fd;
	(void)close(fd);
	return error_say(err, EINVAL, "worktree '%.200s' is %s, not a directory", path,
			 S_ISLNK(st.st_mode) ? "a symbolic link" : "a file");
}

static int take_worktree(int borrowed, struct error *err)
{
	int fd = fcntl(borrowed, F_DUPFD_CLOEXEC, 3);
	struct stat st;

	if (fd < 0)
		return error_say(err, errno == EBADF ? EINVAL : errno,
				 "the worktree's descriptor %d: %s", borrowed, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return fd;
	(void)close(fd);
	return error_say(err, EINVAL, "the worktree's descriptor is no directory");
}

int source_worktree(const struct sandbox_spec *spec, const struct ids *ids, struct source *out,
		    struct error *err)
{
	struct source s = {.fd = -1, .writable = true, .target = SANDBOX_WORKTREE};
	const char *path = NULL; /* links may stand above it */
	int fd, rc;

	if (!spec->worktree_open && !spec->worktree) {
		*out = SOURCE_NONE;
		return 0;
	}
	fd = spec->worktree_open ? take_worktree(spec->worktree_fd, err)
				 : open_worktree(spec->worktree, err);
	if (fd < 0)
		return fd;
	if (ids->privileged)
		path = spec->worktree ? spec->worktree : "";
	rc = fill(&s, fd, path, ids, "the worktree", err);
	if (rc < 0)
		source_done(&s);
	else
		*out = s;
	return rc;
}

int source_bind(const struct sandbox_bind *bind, const struct ids *ids, struct source *out,
		struct error *err)
{
	struct source s = SOURCE_NONE;
	struct statfs fs;
	char what[256];
	int fd = open_plain(bind->from, "bind", err), rc;

	if (fd < 0)
		return fd;
	(void)snprintf(what, sizeof(what), "bind '%.200s'", bind->from);
	if (fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC) {
		(void)close(fd);
		return error_say(err, EINVAL,
				 "%s would show the host's processes; the job has a /proc of its "
				 "own",
				 what);
	}
	s.writable = bind->writable;
	s.target = bind->to ? bind->to : bind->from;
	rc = fill(&s, fd, bind->from, ids, what, err);
	if (rc == 0)
		rc = submounts_refuse_proc(&s, NULL, what, err);
	if (rc < 0)
		source_done(&s);
	else
		*out = s;
	return rc;
}

int source_root(const char *path, const struct ids *ids, struct source *out, struct error *err)
{
	struct source s = SOURCE_NONE;
	int fd = open_plain(path, "root", err), rc;

	if (fd < 0)
		return fd;
	rc = fill(&s, fd, path, ids, "the root directory", err);
	if (rc == 0 && !s.directory)
		rc = error_say(err, EINVAL, "root '%.200s' is not a directory", path);
	if (rc == 0)
		rc = submounts_refuse_proc(&s, "proc", "the root directory", err);
	if (rc < 0)
		source_done(&s);
	else
		*out = s;
	return rc;
}

int source_detach(struct source *s)
{
	struct stat st;
	int fd, mount;

	if (s->fd < 0 || s->detached)
		return 0;
	fd = sys_openat2(AT_FDCWD, s->path, O_PATH, 0);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_dev != s->device || st.st_ino != s->inode) {
		(void)close(fd);
		return -ESTALE;
	}
	mount = source_mount(fd, "", s->writable ? 0 : SOURCE_READONLY);
	if (mount < 0) {
		int code = errno;

		(void)close(fd);
		return -code;
	}
	(void)close(fd);
	(void)close(s->fd);
	s->fd = mount;
	s->detached = true;
	return 0;
}
