/* turn.h - what all sandboxes of a process share is used by one thread at a time.
 *
 * Filters, the template of the root, ids and the places of control groups are looked up or made
 * once, and kept; and a thread has it from there on until the job's first process is made, but not
 * while that sets itself up. A fork waits for its turn, too, so that it finds all that whole; the
 * children that this library makes itself have no use for it. */
#pragma once

#include <stdbool.h>

void turn_take(void);
bool turn_try(void); /* false: another thread has it, for up to some seconds */
void turn_end(void);
