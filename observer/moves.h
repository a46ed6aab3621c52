/* moves.h - which refs point elsewhere than the cursor says, in the order they are dealt with.
 * Pure. */
#pragma once

#include "observer/refs.h"

struct move {
	char *ref;
	struct oid from; /* none: the ref is new */
	struct oid to;   /* none: it was deleted */
	size_t waiting;  /* its events that were handed out and not acknowledged: the owner's count
			  */
};

/* `= {0}` is an empty list. */
struct moves {
	struct move *items;
	size_t count;
};

void moves_done(struct moves *m);
#define owned_moves __attribute__((cleanup(moves_done))) struct moves

/* The branch `head` (NULL: none) first, then other branches, then tags and what else there is, so
 * that a commit pushed to several at once is told by the best-known name; deletions last. -ENOMEM.
 */
int moves_find(const struct refs *before, const struct refs *now, const char *head,
	       struct moves *out);
