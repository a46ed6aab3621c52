/* root.h - the job's file tree, built in the child's own mount namespace, step by step.
 *
 * Each function is a step of init.c: 0 or -errno, what it failed on noted in the plan. Targets are
 * reached from the new root's descriptor, and no component of a target is ever a link. */
#pragma once

#include "sandbox/plan.h"

int root_private(struct plan *plan); /* cuts the ties to the host's mount events */
int root_sources(struct plan *plan); /* while still the caller's user */
int root_mount(struct plan *plan);
int root_ready(struct plan *plan); /* instead of it, and of all until root_private_dirs() */
/* A new file system of that type, detached, its superblock's options in pairs, NULL at the end (a
 * NULL value: a flag). A descriptor, or -1 and errno. */
struct root_option {
	const char *key, *value;
};
int root_make_mount(const char *type, const struct root_option *options, unsigned attributes);
int root_tmpfs(struct plan *plan); /* a part of it: an empty root, standing nowhere */
int root_skeleton(struct plan *plan);
int root_system(struct plan *plan);
int root_etc(struct plan *plan);
int root_devices(struct plan *plan);
int root_pts(struct plan *plan);
int root_queues(struct plan *plan);
int root_proc(struct plan *plan);
int root_proc_mask(struct plan *plan);
int root_private_dirs(struct plan *plan);
int root_size(struct plan *plan); /* what was asked for, where they were made with another */
int root_worktree(struct plan *plan);
int root_binds(struct plan *plan);
int root_pivot(struct plan *plan);
int root_readonly(struct plan *plan);
