/* order.h - a plan as a file in memory, for a child that was born before there was a plan.
 *
 * Both sides are the same version of this library (the launcher's first word says so): the bytes
 * are the structures themselves, their pointers are offsets, and the descriptors go beside them. */
#pragma once

#include "sandbox/plan.h"

/* The plan in a memory file, a new descriptor; or -errno. */
int order_write(const struct plan *plan);

/* The plan's descriptors in the order in which order_read() takes them; how many. */
size_t order_fds(const struct plan *plan, int *fds);

/* Fills `plan` from the memory file `fds[0]` and the descriptors behind it, but for what the child
 * has by birth: control, root, store, title. It lies in memory that goes with the process.
 * Allocates nothing. 0 or -errno. */
int order_read(const int *fds, size_t count, struct plan *plan);
