/* git.h - refs and history of git repositories, read and never obeyed.
 *
 * libgit2 underneath, here only. Of a repository only its refs and commits are used: no hooks,
 * filters, attributes; configuration of system and user is out of reach. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "observer/refs.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Once per process. */
int gitdir_start(struct error *err);
void gitdir_stop(void);

struct gitdir;

/* `= {0}` knows nothing. What an earlier gitdir_open() found, so that the next one needn't check
 * the format as long as the repository's configuration is the same file: libgit2 1.5 loses memory
 * in that check. */
struct gitdir_known {
	char *common;
	struct stat config;
};
void gitdir_known_done(struct gitdir_known *k);

/* A repository on this box: bare, or a working directory with `.git` as directory or file. Cheap;
 * what is held open is let go as soon as nothing is to be read. `known` may be NULL. */
int gitdir_open(const char *path, struct gitdir_known *known, struct gitdir **out,
		struct error *err);
void gitdir_free(struct gitdir *g);
OWNED(gitdir)

/* Where refs and objects are, with a slash at the end; the same for all worktrees of a repository.
 */
const char *gitdir_common(const struct gitdir *g);

/* False: its directory has gone since it was opened. */
bool gitdir_is_there(const struct gitdir *g);

/* The branch that HEAD names, whether it exists or not; false: HEAD is detached or no ref. */
bool gitdir_head(const struct gitdir *g, char *out, size_t size);

/* All refs that `wanted` says yes to, sorted, each with what it points at. */
int gitdir_refs(const struct gitdir *g, bool (*wanted)(void *context, const char *name),
		void *context, struct refs *out, struct error *err);

/* The commit that `id` or the tag `id` means. -ENOENT: there is no such object; -EINVAL: it is a
 * tree or a file. */
int gitdir_commit(const struct gitdir *g, const struct oid *id, struct oid *out);

struct walk {
	const struct oid
		*hidden; /* what can be reached from these isn't wanted; unknown ids are fine */
	size_t hidden_count;
	size_t skip; /* so many of the oldest were taken already */
	size_t max;  /* at most so many are given */
};

/* The commits that can be reached from `tip`, parents before children; `out` is to be freed. */
int gitdir_walk(const struct gitdir *g, const struct oid *tip, const struct walk *how,
		struct oid **out, size_t *count, struct error *err);

/* For people: valid UTF-8 without control characters, cut to fit; "" for what can't be read. */
struct git_text {
	char subject[256], author[256];
};
void gitdir_describe(const struct gitdir *g, const struct oid *commit, struct git_text *out);

/* Brings all branches and tags of `url` into the bare repository `path`, made when missing. It
 * blocks as long as the other end likes: for a process of its own. */
int gitdir_fetch(const char *path, const char *url, struct error *err);

/* Is this the name of a ref as the wire can carry it: valid UTF-8, no control characters? */
bool git_text_is_plain(const char *text);
