/* cgroup_group.h - one directory of one hierarchy, and what its version can do with it. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/cgroup_place.h"

struct group_ops;

struct group {
	const struct group_ops *ops;
	int parent, dir; /* owned; -1: there is none */
	unsigned controllers;
};

/* Setters return 0 or -errno, -ERANGE when the kernel kept another value than was written; 0 lifts
 * the limit. All take the group's directory. */
struct group_ops {
	int (*set_memory)(int dir, uint64_t bytes);
	int (*set_tasks)(int dir, uint64_t tasks);
	int (*set_cpu)(int dir, uint64_t milli);
	int (*set_weight)(int dir, uint64_t weight);
	int (*freeze)(int dir, bool frozen);
	void (*kill)(int dir);
	bool (*populated)(int dir);
	int (*oom_fd)(int dir); /* new descriptor or -errno */
	void (*counts)(const struct group *g, struct cgroup_counts *out);
	void (*usage)(const struct group *g, struct sandbox_usage *out);
	int (*cpu_us)(const struct group *g, uint64_t *out); /* -errno: not measured here */
};

extern const struct group_ops group_v1, group_v2;

/* Read-back of a limit in bytes, which the kernel rounds down to pages. */
int group_same_bytes(uint64_t wanted, uint64_t got);
