/* graves.h - control groups that are to be removed when there is time, and not before they are
 * empty. */
#pragma once

#include "sandbox/cgroup.h"

/* `= {0}` is empty. */
struct graves {
	struct cgroup **list;
	size_t count, size;
};

/* Takes `cg`; NULL is fine. */
void graves_add(struct graves *g, struct cgroup *cg);

/* Removes what is empty, kills what isn't. Waits for nothing. */
void graves_tend(struct graves *g);

/* Waits for all, but not for ever. */
void graves_done(struct graves *g);

/* Leaves them to the process that this one was forked from. */
void graves_forget(struct graves *g);
