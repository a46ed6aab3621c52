/* landlock.h - a second wall, where the kernel has it: even if a mount were wrong, the job writes
 * only where it may, and neither reaches abstract sockets nor signals outside. */
#pragma once

#include "sandbox/plan.h"

/* The rules that are every job's, into plan->landlock, when the root stands. 0 also where the
 * kernel has no Landlock. */
int landlock_prepare(struct plan *plan);

/* The job's own rules, and all of them applied: in its program's process. */
int landlock_apply(struct plan *plan);

/* The kernel's version, 0: none. */
int landlock_version(void);
