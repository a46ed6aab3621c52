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

/* The usual root is what the plan wants: no other one, nothing more in it. */
bool template_serves(const struct plan *plan);

/* Tells the host's libraries as they were from those that they are now. */
struct template_stamp {
	dev_t device;
	ino_t inode;
};
struct template_stamp template_stamp(void);
bool template_is(struct template_stamp stamp);
