/* git.h - objects and refs of git repositories, read and never obeyed.
 *
 * libgit2 underneath, here only. Of a repository only its object database and its refs are used: no
 * hooks, filters, attributes, worktrees; configuration of system and user is out of reach. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/owned.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GIT_ID_MAX 64 /* hex digits */

/* Once per process, before it forks. */
int git_start(struct error *err);
void git_stop(void);

struct git;

/* A repository on this box, bare or not, opened for reading. */
int git_open(const char *path, struct git **out, struct error *err);
void git_free(struct git *g);
OWNED(git)

struct git_commit {
	char id[GIT_ID_MAX + 1];
	char tree[GIT_ID_MAX + 1];
	int64_t time;                   /* of the committer, seconds */
	char subject[256], author[256]; /* valid UTF-8 without control characters, cut to fit */
};

/* The commit that `revision` names: HEAD, a branch, a tag, a full ref, an id (also short). */
int git_resolve(struct git *g, const char *revision, struct git_commit *out, struct error *err);

enum git_kind { GIT_FILE, GIT_EXECUTABLE, GIT_LINK, GIT_DIRECTORY, GIT_SUBMODULE };

struct git_entry {
	const char *name; /* borrowed; as it is stored: whatever a stranger wrote */
	size_t name_length;
	char id[GIT_ID_MAX + 1];
	enum git_kind kind;
};

/* Calls `each` for every entry of the tree, until it says something else than 0. -EUCLEAN, here and
 * below: the repository is damaged; another copy of it may be whole. */
int git_each(struct git *g, const char *tree, int (*each)(void *context, const struct git_entry *e),
	     void *context, struct error *err);

/* The bytes of a blob, lent until `use` returns; its answer is passed on. -EFBIG: more than `max`.
 */
int git_file(struct git *g, const char *id, size_t max,
	     int (*use)(void *context, const void *bytes, size_t length), void *context,
	     struct error *err);

/* The entry at a path below the tree `id`. -ENOENT without a sentence when there is none. */
int git_find(struct git *g, const char *id, const char *path, char out[GIT_ID_MAX + 1],
	     enum git_kind *kind, struct error *err);

/* Makes a bare repository at `path` when there is none, and brings all branches and tags of `url`
 * into it; one caller at a time. `stop` is asked now and then: true ends the fetch with -ECANCELED.
 * -EUCLEAN: what is there already is damaged, or what came. */
int git_fetch(const char *path, const char *url, bool (*stop)(void *context), void *context,
	      struct error *err);

/* Every file of the working directory that holds `path`: what is tracked and still there, and what
 * is untracked and not ignored. `root` gets the directory, to be freed. -ENOENT: no repository. */
int git_working_files(const char *path, char **root,
		      int (*each)(void *context, const char *relative), void *context,
		      struct error *err);
