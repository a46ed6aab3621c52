/* processor.h - a launch stays on one processor, and its program may use all that the caller may.
 *
 * A launch is a chain: the launcher waits for the first process, that for the program's. The
 * scheduler would put each next one on an idle processor. To wake it takes some 50 us where it is a
 * virtual one, its caches are cold, and processes that share memory on two have to interrupt each
 * other whenever some of it goes. Who waits for long (a sandbox for its order, the first process
 * for the program's end) is bound to none: it may be busy by then. */
#pragma once

#include <sched.h>
#include <stdbool.h>

struct processors {
	cpu_set_t set;
	bool known; /* false: more than fit; nothing is changed then */
};

/* Those that this thread may use. */
void processors_get(struct processors *out);

/* Both leave errno alone.
 *
 * This thread, and whom it starts, keep to the one that it is on, one of `all`, until told that
 * they may use these. */
void processor_stay(const struct processors *all);

/* This thread may use these again, as far as its control group lets it. */
void processors_use(const struct processors *p);
