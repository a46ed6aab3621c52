/* worktree.h - a commit's tree as files: exactly what the tree says, by our own writer.
 *
 * No filters, no attributes, no index. Every name is checked, nothing is ever followed: what a
 * stranger put into a tree can't reach beyond the directory. */
#pragma once

#include "runner/git.h"

#include <sys/types.h>

/* Deeper or larger trees are refused: they are made to hurt. */
#define WORKTREE_DEPTH_MAX   256
#define WORKTREE_ENTRIES_MAX 2000000

struct worktree_spec {
	const char *tree;   /* id */
	int64_t time;       /* every file's mtime, seconds: builds then see no order among them */
	uid_t owner;        /* (uid_t)-1: whoever we are */
	uint64_t bytes_max; /* 0: no bound */
	bool (*stop)(void *context); /* asked now and then; NULL is fine */
	void *context;
};

/* Makes directory `name` in `dir` and fills it. On failure what was made stays, for
 * worktree_remove(). -ECANCELED: `stop` said so. -EILSEQ: the tree holds what no file system
 * should. */
int worktree_make(struct git *g, const struct worktree_spec *spec, int dir, const char *name,
		  struct error *err);

/* What its files take on the disk, as far as it can be read; a file of two names counts twice. */
uint64_t worktree_bytes(int dir, const char *name);

/* Removes it, patiently: what was just killed may still be writing. */
int worktree_remove(int dir, const char *name, struct error *err);
