/* room.h - how much a job may write in places of the host: what a file system has room for. */
#pragma once

#include "base/error.h"
#include "sandbox/plan.h"

/* -EOPNOTSUPP and a sentence: the worktree or a writable bind has room for more than the limits of
 * disk and inodes. Fills plan->bounded. */
int room_check(const struct sandbox_limits *limits, struct plan *plan, struct error *err);
