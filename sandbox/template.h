/* template.h - the part of the root that all jobs of a process share, built once.
 *
 * A detached, read-only mount tree that no job can change: tmpfs, /usr, /etc, devices. Each job
 * gets a copy of its mounts, in one call. Needs root, and Linux 6.15 to put mounts on a detached
 * tree; elsewhere each job builds its own. */
#pragma once

#include "sandbox/plan.h"

/* Gives the plan its copy in plan->root, when its root is the usual one and such a thing can be
 * made here; else leaves it at -1. */
void template_use(struct plan *plan);
