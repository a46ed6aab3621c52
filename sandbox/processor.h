/* processor.h - a launch stays on one processor, and its program may use all that the caller may.
 *
 * A launch is a chain: the caller waits for the launcher, that for the first process, that for the
 * program's. The scheduler would put each next one on an idle processor. To wake it takes some 50
 * us where it is a virtual one, its caches are cold, and processes that share memory on two have to
 * interrupt each other whenever some of it goes. */
#pragma once

#include <sched.h>
#include <stdbool.h>

struct processors {
	cpu_set_t set;
	bool known; /* false: more than fit; nothing is changed then */
};

/* Those that this thread may use. */
void processors_get(struct processors *out);

/* The one that this thread is on; -1: they aren't known. */
int processor_here(void);

/* This thread, and whom it starts, use only that one. Where they may not, nothing changes. */
void processor_stay(int processor);

/* This thread may use these again, as far as its control group lets it. */
void processors_use(const struct processors *p);
