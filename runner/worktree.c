#include "runner/worktree.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define BLOB_MAX        ((size_t)512 << 20) /* of one file: it is held in memory */
#define REMOVE_DEADLINE 5000                /* ms */

struct writer {
	struct git *git;
	const struct worktree_spec *spec;
	struct error *err;
	struct timespec times[2];
	size_t entries;
	uint64_t bytes;
	unsigned depth;
	char path[PATH_MAX]; /* of what is being written, for messages */
};

/* A directory being filled. */
struct place {
	struct writer *writer;
	int dir;
	size_t path_length;
};

/* --- names -------------------------------------------------------------- */

static bool is_acceptable(const struct git_entry *e)
{
	return e->name_length && e->name_length <= NAME_MAX && strcmp(e->name, ".") != 0 &&
	       strcmp(e->name, "..") != 0 && strcasecmp(e->name, ".git") != 0 &&
	       !memchr(e->name, '/', e->name_length);
}

static int refuse(struct writer *w, const char *why)
{
	return error_say(w->err, EILSEQ, "the commit can't be checked out: '%.200s' %s", w->path,
			 why);
}

static int failed(struct writer *w, int code)
{
	return error_set(w->err, code, "write '%.200s'", w->path);
}

/* --- entries ------------------------------------------------------------ */

static int own(struct writer *w, int dir, const char *name)
{
	if (w->spec->owner == (uid_t)-1)
		return 0;
	return fchownat(dir, name, w->spec->owner, w->spec->owner,
			AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0
		       ? -errno
		       : 0;
}

/* Owner and time of an open file or directory. */
static int settle(struct writer *w, int fd)
{
	if (w->spec->owner != (uid_t)-1 && fchown(fd, w->spec->owner, w->spec->owner) < 0)
		return failed(w, errno);
	return futimens(fd, w->times) < 0 ? failed(w, errno) : 0;
}

struct blob_job {
	struct writer *writer;
	int fd, dir;
	const char *name;
};

static int count_bytes(struct writer *w, size_t length)
{
	w->bytes += length;
	if (w->spec->bytes_max && w->bytes > w->spec->bytes_max)
		return error_say(
			w->err, EFBIG,
			"the commit's files have more than %llu bytes, which is what may be "
			"written",
			(unsigned long long)w->spec->bytes_max);
	return 0;
}

static int write_bytes(void *context, const void *bytes, size_t length)
{
	struct blob_job *job = context;
	int rc = count_bytes(job->writer, length);

	if (rc == 0) {
		rc = fd_write_all(job->fd, bytes, length);
		if (rc < 0)
			return failed(job->writer, -rc);
	}
	return rc;
}

static int write_file(struct place *p, const struct git_entry *e)
{
	struct writer *w = p->writer;
	mode_t mode = e->kind == GIT_EXECUTABLE ? 0755 : 0644;
	owned_fd fd =
		openat(p->dir, e->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	struct blob_job job = {.writer = w, .fd = fd};
	int rc;

	if (fd < 0)
		return errno == EEXIST ? refuse(w, "is there twice") : failed(w, errno);
	rc = git_file(w->git, e->id, BLOB_MAX, write_bytes, &job, w->err);
	if (rc == -EIO || rc == -EUCLEAN)
		(void)error_prefix(w->err, "the commit can't be checked out: '%.150s'", w->path);
	return rc < 0 ? rc : settle(w, fd);
}

static int write_target(void *context, const void *bytes, size_t length)
{
	struct blob_job *job = context;
	struct writer *w = job->writer;
	char target[PATH_MAX];
	int rc;

	if (!length || length >= sizeof(target) || memchr(bytes, '\0', length))
		return refuse(w, "is a link to what can't be a path");
	memcpy(target, bytes, length);
	target[length] = '\0';
	if (symlinkat(target, job->dir, job->name) < 0)
		return errno == EEXIST ? refuse(w, "is there twice") : failed(w, errno);
	rc = own(w, job->dir, job->name);
	if (rc == 0 && utimensat(job->dir, job->name, w->times, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	return rc < 0 ? failed(w, -rc) : 0;
}

static int write_link(struct place *p, const struct git_entry *e)
{
	struct blob_job job = {.writer = p->writer, .dir = p->dir, .name = e->name};
	int rc = git_file(p->writer->git, e->id, PATH_MAX, write_target, &job, p->writer->err);

	return rc == -EFBIG ? refuse(p->writer, "is a link to what can't be a path") : rc;
}

static int write_entry(void *context, const struct git_entry *e);

/* Fills an open directory; its time is set once nothing more is put into it. */
static int fill(struct writer *w, int dir, const char *tree)
{
	struct place p = {.writer = w, .dir = dir, .path_length = strlen(w->path)};
	int rc = git_each(w->git, tree, write_entry, &p, w->err);

	w->path[p.path_length] = '\0';
	return rc < 0 ? rc : settle(w, dir);
}

static int write_directory(struct place *p, const struct git_entry *e)
{
	struct writer *w = p->writer;
	owned_fd dir = -1;
	int rc;

	if (mkdirat(p->dir, e->name, 0755) < 0)
		return errno == EEXIST ? refuse(w, "is there twice") : failed(w, errno);
	dir = openat(p->dir, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return failed(w, errno);
	if (e->kind == GIT_SUBMODULE) /* its content isn't part of the commit */
		return settle(w, dir);
	if (++w->depth > WORKTREE_DEPTH_MAX)
		return refuse(w, "is too deep");
	rc = fill(w, dir, e->id);
	w->depth--;
	return rc;
}

static int name_path(struct place *p, const struct git_entry *e)
{
	struct writer *w = p->writer;
	size_t room = sizeof(w->path) - p->path_length;
	int n = snprintf(w->path + p->path_length, room, "%s%s", p->path_length ? "/" : "",
			 e->name);

	if (n < 0 || (size_t)n >= room) {
		w->path[p->path_length] = '\0';
		return refuse(w, "holds a path that is too long");
	}
	return is_acceptable(e) ? 0 : refuse(w, "is not a name that may be checked out");
}

static int write_entry(void *context, const struct git_entry *e)
{
	struct place *p = context;
	struct writer *w = p->writer;
	int rc = name_path(p, e);

	if (rc < 0)
		return rc;
	if (++w->entries > WORKTREE_ENTRIES_MAX)
		return error_say(w->err, EFBIG, "the commit holds more than %d files",
				 WORKTREE_ENTRIES_MAX);
	if (w->spec->stop && (w->entries & 63) == 0 && w->spec->stop(w->spec->context))
		return error_say(w->err, ECANCELED, "the checkout was stopped");
	switch (e->kind) {
	case GIT_LINK:
		return write_link(p, e);
	case GIT_DIRECTORY:
	case GIT_SUBMODULE:
		return write_directory(p, e);
	default:
		return write_file(p, e);
	}
}

/* --- the whole ---------------------------------------------------------- */

int worktree_make(struct git *g, const struct worktree_spec *spec, int dir, const char *name,
		  struct error *err)
{
	struct writer w = {.git = g, .spec = spec, .err = err};
	owned_fd root = -1;

	w.times[0].tv_sec = w.times[1].tv_sec = spec->time;
	if (mkdirat(dir, name, 0755) < 0)
		return error_set(err, errno, "make worktree %s", name);
	root = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return error_set(err, errno, "open worktree %s", name);
	return fill(&w, root, spec->tree);
}

int worktree_remove(int dir, const char *name, struct error *err)
{
	int64_t deadline = clock_boot_ms() + REMOVE_DEADLINE;

	for (;;) {
		int rc = tree_remove(dir, name, err);

		if (rc == 0 || clock_boot_ms() >= deadline)
			return rc;
		(void)poll(NULL, 0, 10); /* what is dying lets go within moments */
	}
}

static uint64_t bytes_below(int dir, const char *name, int depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	uint64_t sum = 0;
	struct stat st;

	for (struct dirent *e; list && (e = readdir(list));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth < WORKTREE_DEPTH_MAX)
			sum += bytes_below(fd, e->d_name, depth + 1);
	}
	if (list)
		(void)closedir(list);
	return sum;
}

uint64_t worktree_bytes(int dir, const char *name)
{
	return bytes_below(dir, name, 0);
}
