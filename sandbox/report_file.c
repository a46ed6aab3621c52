#include "sandbox/report_file.h"

#include "base/fd.h"
#include "base/owned.h"
#include "sandbox/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Names that somebody may have taken. */
#define TRIES 100

static bool is_proc(int dir)
{
	struct statfs fs;

	return fstatfs(dir, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* The directory of `path`, its last component in `name`. */
static int open_directory(const char *path, char *name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	owned_str *above =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	owned_fd fd = -1;

	if (!above)
		return error_set(err, ENOMEM, "--report");
	if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || strlen(last) > NAME_MAX)
		return error_say(err, EINVAL, "--report '%.200s' is not the name of a file", path);
	(void)strcpy(name, last);
	fd = sys_openat2(AT_FDCWD, above, O_PATH | O_DIRECTORY, 0);
	if (fd >= 0)
		return give_fd(&fd);
	if (errno != ELOOP)
		return error_set(err, errno, "--report '%.200s'", path);
	fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && is_proc(fd)) /* /dev/fd is such a way */
		return give_fd(&fd);
	return error_say(err, ELOOP,
			 "--report '%.200s' goes through a symbolic link, which a job could have "
			 "put there; give the real path",
			 path);
}

/* A real path, or an empty one. */
static void path_of(int fd, char *out)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

static bool is_inside(const char *path, const char *of)
{
	char real[PATH_MAX];
	size_t length = realpath(of, real) ? strlen(real) : 0;

	if (length == 1) /* / itself */
		return path[1] != '\0';
	return length && strncmp(path, real, length) == 0 && path[length] == '/';
}

static int refuse_jobs_own(const struct sandbox_spec *spec, int dir, const char *path,
			   struct error *err)
{
	char real[PATH_MAX];
	bool inside;

	path_of(dir, real);
	inside = spec->worktree && is_inside(real, spec->worktree);
	for (size_t i = 0; i < spec->bind_count; i++)
		inside =
			inside || (spec->binds[i].writable && is_inside(real, spec->binds[i].from));
	return inside ? error_say(
				err, EPERM,
				"--report '%.200s' is in a directory that the job can replace; put "
				"it into the top of the worktree, or outside",
				path)
		      : 0;
}

/* What can't be replaced: only a regular file is. */
static int open_direct(struct report_file *f, const char *path, const struct stat *st,
		       struct error *err)
{
	if (S_ISLNK(st->st_mode) && !is_proc(f->dir))
		return error_say(err, ELOOP,
				 "--report '%.200s' is a symbolic link, which a job could have put "
				 "there; give the real path",
				 path);
	f->direct = open(path, O_WRONLY | O_CLOEXEC);
	return f->direct < 0 ? error_set(err, errno, "--report '%.200s'", path) : 0;
}

static int clear(const struct report_file *f, const char *path, struct error *err)
{
	if (faccessat(f->dir, ".", W_OK | X_OK, AT_EACCESS) < 0 ||
	    (unlinkat(f->dir, f->name, 0) < 0 && errno != ENOENT))
		return error_set(err, errno, "--report '%.200s'", path);
	return 0;
}

int report_file_open(const char *path, const struct sandbox_spec *spec, struct report_file *out,
		     struct error *err)
{
	struct report_file f = REPORT_FILE_NONE;
	struct stat st;
	int rc;

	f.dir = open_directory(path, f.name, err);
	if (f.dir < 0)
		return f.dir;
	if (fstatat(f.dir, f.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
		rc = open_direct(&f, path, &st, err);
	else
		rc = refuse_jobs_own(spec, f.dir, path, err);
	if (rc == 0 && f.direct < 0)
		rc = clear(&f, path, err);
	if (rc < 0)
		report_file_done(&f);
	else
		*out = f;
	return rc;
}

static int open_new(int dir, char *name, size_t size)
{
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		(void)snprintf(name, size, ".cupel-report-%d-%d", (int)getpid(), i);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

int report_file_write(struct report_file *f, const char *bytes, size_t length, struct error *err)
{
	char name[64];
	owned_fd fd = -1;
	int rc;

	if (f->direct >= 0) {
		rc = fd_write_all(f->direct, bytes, length);
		return rc < 0 ? error_set(err, -rc, "write the report") : 0;
	}
	fd = open_new(f->dir, name, sizeof(name));
	if (fd < 0)
		return error_set(err, -fd, "write the report %s", f->name);
	rc = fd_write_all(fd, bytes, length);
	if (rc == 0 && renameat(f->dir, name, f->dir, f->name) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlinkat(f->dir, name, 0);
	return rc < 0 ? error_set(err, -rc, "write the report %s", f->name) : 0;
}

void report_file_done(struct report_file *f)
{
	if (f->dir >= 0)
		(void)close(f->dir);
	if (f->direct >= 0)
		(void)close(f->direct);
	*f = REPORT_FILE_NONE;
}
