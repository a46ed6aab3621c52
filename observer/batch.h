/* batch.h - the moves of one look at a repository, as events to send and then as news for the
 * cursor.
 *
 * Moves are dealt with in order, and so is what is acknowledged: the cursor takes a move over when
 * all its events, and all moves before it, are acknowledged. For a later move counts as seen what
 * earlier ones bring, and that must hold after a crash too. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "observer/cursor.h"
#include "observer/git.h"
#include "observer/moves.h"

struct batch;

struct batch_event {
	const char *ref; /* borrowed from the batch */
	struct oid commit;
	size_t move; /* for batch_acked() */
	struct git_text text;
};

struct batch_options {
	struct cursor *cursor; /* borrowed */
	const char *name;      /* of the repository, for messages; borrowed */
	bool tips;             /* first sight: of each branch its tip alone, of all else nothing */
};

/* Takes `git` and what is in `moves`, also when it fails. */
int batch_new(struct gitdir *git, struct moves *moves, const struct batch_options *options,
	      struct batch **out, struct error *err);
void batch_free(struct batch *b);
OWNED(batch)

/* The next event to send; false: all were given. */
bool batch_next(struct batch *b, struct batch_event *out);
/* The oldest event of `move` that wasn't is acknowledged. */
void batch_acked(struct batch *b, size_t move);

/* Everything was given and acknowledged: the cursor says what the repository said. */
bool batch_is_over(const struct batch *b);
/* Moves that the cursor has taken over. */
size_t batch_completed(const struct batch *b);
/* "" or the last thing that went wrong and what was done about it. */
const char *batch_trouble(const struct batch *b);
