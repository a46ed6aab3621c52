/* reaper.h - what pid 1 of a job does while the program runs: it inherits the orphans, looks at the
 * disk, and sees the program end. What is left then, the kernel kills with it. */
#pragma once

#include "sandbox/payload.h"

/* Returns when the program has ended, with its status, its time and what the disk held in `out`.
 * Closes every descriptor but plan->control. */
void reaper_wait(const struct plan *plan, const struct payload *payload, struct message *out);

/* Gives back much memory before the mounts go, which a launcher holds a little longer. */
void reaper_release(const struct plan *plan);
