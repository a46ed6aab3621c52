/* detect.h - what to run when there is no job file. Pure over a look at the commit's tree.
 *
 * The first rule that fits takes effect; docs/jobfile.md lists them. */
#pragma once

#include "base/buffer.h"
#include "runner/jobfile.h"

enum detect_kind { DETECT_NOTHING, DETECT_FILE, DETECT_EXECUTABLE, DETECT_DIRECTORY, DETECT_OTHER };

#define DETECT_READ_MAX ((size_t)1 << 20) /* bytes of one file that a rule looks into */

/* The tree, however it is stored. Paths are relative, without "." and "..". */
struct detect_tree {
	/* What stands at `path`; a link is DETECT_OTHER. -errno when the tree can't be read. */
	int (*kind)(void *context, const char *path, struct error *err);
	/* Appends a file's bytes; -EFBIG when there are more than `max`. */
	int (*read)(void *context, const char *path, size_t max, struct buffer *out,
		    struct error *err);
	/* Calls `entry` for each name in the directory until it says true. */
	int (*list)(void *context, const char *path, bool (*entry)(void *with, const char *name),
		    void *with, struct error *err);
	void *context;
};

/* The jobs of `.cupel.yml` when there is one, else of the rule that fits; -ENOENT and what would be
 * needed when none does. */
int detect_jobs(const struct detect_tree *tree, struct jobfile **out, struct error *err);

/* Pure: does this Makefile define one of the targets? NULL, or the first of `targets`
 * (NULL-terminated) that it does. */
const char *detect_make_target(const char *text, size_t length, const char *const *targets);
