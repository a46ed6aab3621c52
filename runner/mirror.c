#include "runner/mirror.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/tree.h"
#include "base/units.h"
#include "proto/digest.h"
#include "runner/allowed.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define LOCK_LOOK_MS 20

struct files {
	char lock[48], name[48]; /* in the directory of mirrors */
	char path[PATH_MAX];
};

/* The path of a repository on this box, or NULL. */
static const char *local_path(const char *repository)
{
	if (strncmp(repository, "file://", 7) == 0)
		repository += 7;
	return *repository == '/' ? repository : NULL;
}

static bool is_remote(const char *repository)
{
	static const char *const schemes[] = {"https://", "http://", "git://", "ssh://", NULL};
	const char *colon = strchr(repository, ':'), *at = strchr(repository, '@');
	const char *slash = strchr(repository, '/');

	for (const char *const *s = schemes; *s; s++)
		if (strncmp(repository, *s, strlen(*s)) == 0)
			return true;
	/* user@host:path */
	return *repository != '-' && at && colon && at < colon && at != repository &&
	       (!slash || colon < slash) && strncmp(colon, "::", 2) != 0;
}

static int mirror_name(const char *url, char out[40], struct error *err)
{
	owned(digest) *d = digest_new();
	uint8_t sum[DIGEST_SIZE];

	if (!d || digest_add(d, url, strlen(url)) < 0 || digest_get(d, sum) < 0)
		return error_set(err, ENOMEM, "name the mirror of %.200s", url);
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

/* Another attempt may be fetching: wait for it. */
static int take_turn(const struct mirror_spec *spec, int dir, const char *name, struct error *err)
{
	for (;;) {
		int fd = fd_lock(dir, name);

		if (fd >= 0)
			return fd;
		if (fd != -EWOULDBLOCK)
			return error_set(err, -fd, "lock %s/%s", spec->mirrors, name);
		if (spec->stop && spec->stop(spec->context))
			return error_say(err, ECANCELED, "the fetch was stopped");
		(void)poll(NULL, 0, LOCK_LOOK_MS);
	}
}

static bool is_full_id(const char *revision)
{
	size_t length = strlen(revision);

	return (length == 40 || length == 64) && strspn(revision, "0123456789abcdef") == length;
}

/* A commit that came with an earlier fetch needs no other. */
static bool find_there(const struct mirror_spec *spec, const char *path, struct git **out,
		       struct git_commit *commit)
{
	owned(git) *g = NULL;

	if (!is_full_id(spec->revision) || git_open(path, &g, NULL) < 0 ||
	    git_resolve(g, spec->revision, commit, NULL) < 0)
		return false;
	*out = give(g);
	return true;
}

static int name_files(const struct mirror_spec *spec, struct files *f, struct error *err)
{
	char name[40];
	int rc = mirror_name(spec->repository, name, err);

	if (rc < 0)
		return rc;
	(void)snprintf(f->lock, sizeof(f->lock), "%s.lock", name);
	(void)snprintf(f->name, sizeof(f->name), "%s.git", name);
	if ((size_t)snprintf(f->path, sizeof(f->path), "%s/%s", spec->mirrors, f->name) >=
	    sizeof(f->path))
		return error_set(err, ENAMETOOLONG, "open mirror below %s", spec->mirrors);
	return 0;
}

static void remove_mirror(int dir, const struct files *f)
{
	struct error err = {0};

	if (tree_remove(dir, f->name, &err) < 0)
		log_warning("damaged mirror: %s", err.text);
}

struct watch {
	const struct mirror_spec *spec;
	int dir;   /* of the mirrors */
	bool full; /* that is why it was stopped */
};

static bool stop_fetch(void *context)
{
	struct watch *w = context;
	struct statvfs st;

	if (fstatvfs(w->dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < w->spec->disk_least)
		w->full = true;
	return w->full || (w->spec->stop && w->spec->stop(w->spec->context));
}

static int fetch_once(const struct mirror_spec *spec, int dir, const struct files *f,
		      struct error *err)
{
	struct watch w = {.spec = spec, .dir = dir};
	char least[24];
	int rc = git_fetch(f->path, spec->repository, stop_fetch, &w, err);

	if (rc == 0 || !w.full)
		return rc;
	units_format_size(spec->disk_least, least, sizeof(least));
	return error_say(err, ENOSPC,
			 "fetch from %.200s: it would leave less than %s on the runner's disk: "
			 "remove what isn't needed there, old mirrors too (%s)",
			 spec->repository, least, spec->mirrors);
}

/* What is damaged is made anew, once: the peer may be what is wrong. */
static int fetch(const struct mirror_spec *spec, int dir, const struct files *f, struct error *err)
{
	int rc = fetch_once(spec, dir, f, err);

	if (rc != -EUCLEAN)
		return rc;
	log_warning("the mirror is cloned anew: %s", err->text);
	remove_mirror(dir, f);
	return fetch_once(spec, dir, f, err);
}

static int open_remote(const struct mirror_spec *spec, struct git **out, struct git_commit *commit,
		       struct error *err)
{
	struct files f;
	owned_fd dir = -1, turn = -1;
	int rc = name_files(spec, &f, err);

	if (rc == 0 && spec->allowed && *spec->allowed)
		rc = allowed_url(spec->allowed, spec->repository, err);
	if (rc < 0)
		return rc;
	if (find_there(spec, f.path, out, commit))
		return 0;
	dir = fd_make_path(spec->mirrors, 0700, err);
	if (dir < 0)
		return dir;
	turn = take_turn(spec, dir, f.lock, err);
	if (turn < 0)
		return turn;
	if (find_there(spec, f.path, out, commit)) /* it came while we waited */
		return 0;
	rc = fetch(spec, dir, &f, err);
	if (rc == 0)
		rc = git_open(f.path, out, err);
	return rc < 0 ? rc : git_resolve(*out, spec->revision, commit, err);
}

void mirror_forget(const struct mirror_spec *spec)
{
	struct error err = {0};
	struct files f;
	owned_fd dir = fd_make_path(spec->mirrors, 0700, &err), turn = -1;

	if (dir < 0 || name_files(spec, &f, &err) < 0)
		return; /* as it was opened before, that is for want of memory or descriptors */
	turn = take_turn(spec, dir, f.lock, &err);
	if (turn >= 0)
		remove_mirror(dir, &f);
}

static int open_local(const struct mirror_spec *spec, const char *path, struct git **out,
		      struct git_commit *commit, struct error *err)
{
	char real[PATH_MAX];
	int rc = 0;

	if (spec->allowed && *spec->allowed) {
		rc = allowed_path(spec->allowed, path, real, err);
		path = real; /* so that what was judged is what is opened */
	}
	if (rc == 0)
		rc = git_open(path, out, err);
	return rc < 0 ? rc : git_resolve(*out, spec->revision, commit, err);
}

int mirror_open(const struct mirror_spec *spec, struct git **out, struct git_commit *commit,
		bool *copied, struct error *err)
{
	const char *path = local_path(spec->repository);
	owned(git) *g = NULL;
	int rc;

	*copied = !path;
	if (path) {
		rc = open_local(spec, path, &g, commit, err);
	} else if (is_remote(spec->repository)) {
		rc = open_remote(spec, &g, commit, err);
	} else {
		rc = error_say(
			err, EINVAL,
			"'%.200s' is no repository that can be fetched: give an absolute path, "
			"or a URL of https, http, git or ssh",
			spec->repository);
	}
	if (rc < 0)
		return rc;
	*out = give(g);
	return 0;
}
