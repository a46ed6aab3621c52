/* priority.h - what a privileged caller is spared, his jobs aren't. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/* In a job's first process, before it enters its groups: realtime scheduling of processor and disks
 * and a better priority than anybody's end here. What is worse than usual stays. 0 or -errno. */
int priority_drop(void);

/* By its parent: it is killed as anybody when memory is short, also where the parent is spared
 * (oom_score_adj, proc(5)); and a limit of 0 for cores becomes one of 1, which keeps them from a
 * program, too (fs/coredump.c). */
int priority_expose(pid_t pid, struct error *err);
