#include "sandbox/report_file.h"

#include "base/fd.h"
#include "base/owned.h"
#include "base/tree.h"
#include "sandbox/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

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

/* How far the job reaches: not there, that directory's own entries, or the directory itself. */
enum reach { REACH_NONE, REACH_ENTRIES, REACH_ITSELF };

static enum reach reach_of(const char *path, const char *own)
{
	char real[PATH_MAX];
	size_t length = realpath(own, real) ? strlen(real) : 0;

	if (!length || strncmp(path, real, length) != 0)
		return REACH_NONE;
	if (!path[length])
		return REACH_ENTRIES;
	return path[length] == '/' || length == 1 ? REACH_ITSELF : REACH_NONE; /* 1: / itself */
}

static enum reach jobs_reach(const struct sandbox_spec *spec, int dir)
{
	char real[PATH_MAX];
	enum reach most = REACH_NONE;

	path_of(dir, real);
	if (spec->worktree)
		most = reach_of(real, spec->worktree);
	for (size_t i = 0; i < spec->bind_count; i++) {
		enum reach one =
			spec->binds[i].writable ? reach_of(real, spec->binds[i].from) : REACH_NONE;
		most = one > most ? one : most;
	}
	return most;
}

static const char *kind_of(mode_t mode)
{
	return S_ISLNK(mode)    ? "symbolic link"
	       : S_ISFIFO(mode) ? "pipe"
	       : S_ISDIR(mode)  ? "directory"
				: "device or socket";
}

static int refuse_planted(const char *path, mode_t mode, struct error *err)
{
	return error_say(err, S_ISLNK(mode) ? ELOOP : EPERM,
			 "--report '%.200s' is a %s, which a job could have put there; %s", path,
			 kind_of(mode),
			 S_ISLNK(mode) ? "give the real path" : "give another name, or remove it");
}

/* What is written as it is, and not replaced: whoever names a pipe waits for its reader. What
 * stands there now need not be what was seen a moment ago. */
static int open_direct(struct report_file *f, const char *path, mode_t mode, struct error *err)
{
	int follow = is_proc(f->dir) ? 0 : O_NOFOLLOW; /* a descriptor of the caller's */
	struct stat st;

	if (S_ISLNK(mode) && follow)
		return refuse_planted(path, mode, err);
	f->direct = openat(f->dir, f->name, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC | follow);
	if (f->direct < 0 || fstat(f->direct, &st) < 0)
		return error_set(err, errno, "--report '%.200s'", path);
	return follow && (st.st_mode & S_IFMT) != (mode & S_IFMT) ? refuse_planted(path, mode, err)
								  : 0;
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
	struct stat st = {0};
	enum reach reach;
	bool replaced;
	int rc;

	f.dir = open_directory(path, f.name, err);
	if (f.dir < 0)
		return f.dir;
	reach = jobs_reach(spec, f.dir);
	replaced = fstatat(f.dir, f.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode);
	if (reach == REACH_ITSELF)
		rc = error_say(err, EPERM,
			       "--report '%.200s' is in a directory that the job can replace; put "
			       "it into the top of the worktree, or outside",
			       path);
	else if (replaced)
		rc = clear(&f, path, err);
	else if (reach == REACH_ENTRIES)
		rc = refuse_planted(path, st.st_mode, err);
	else
		rc = open_direct(&f, path, st.st_mode, err);
	if (rc < 0)
		report_file_done(&f);
	else
		*out = f;
	return rc;
}

/* Under a name that no job could have taken. */
static int open_new(int dir, char *name, size_t size)
{
	uint64_t chance = 0;
	int fd;

	(void)getrandom(&chance, sizeof(chance), 0);
	(void)snprintf(name, size, ".cupel-report-%016llx", (unsigned long long)chance);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

/* A directory there changes places with it, and is removed. */
static int put_in_place(int dir, const char *name, const char *wanted)
{
	if (renameat(dir, name, dir, wanted) == 0)
		return 0;
	if (errno != EISDIR || renameat2(dir, name, dir, wanted, RENAME_EXCHANGE) < 0)
		return -errno;
	(void)tree_remove(dir, name, NULL); /* what can't be is the job's owner's to remove */
	return 0;
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
	if (faccessat(f->dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
		tree_unlock(f->dir); /* it could be written when the job began */
	fd = open_new(f->dir, name, sizeof(name));
	if (fd < 0)
		return error_set(err, -fd, "write the report %s", f->name);
	rc = fd_write_all(fd, bytes, length);
	if (rc == 0)
		rc = put_in_place(f->dir, name, f->name);
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
