/* cgroup_group.h - one directory of one hierarchy, what its version can do with it, and what a job
 * has of them. For the files cgroup*.c alone. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/cgroup_disk.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/cgroup_text.h"

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
	int (*set_io)(int dir, dev_t disk, const struct io_rates *rates);
	void (*drain)(int dir); /* lifts the limits of io on all disks */
	int (*set_io_weight)(int dir, enum disk_weigher how, uint64_t weight);
	int (*set_cpuset)(int dir, const char *list); /* "" lifts it */
	int (*freeze)(int dir, bool frozen);
	void (*kill)(int dir);
	bool (*populated)(int dir);
	int (*oom_fd)(int dir); /* new descriptor or -errno */
	void (*counts)(const struct group *g, struct cgroup_counts *out);
	void (*usage)(const struct group *g, struct sandbox_usage *out);
	int (*cpu_us)(const struct group *g, uint64_t *out); /* -errno: not measured here */
};

extern const struct group_ops group_v1, group_v2;

struct cgroup {
	char *name, *parent;
	unsigned wanted;                /* controllers that its groups were made for */
	struct group group[PLACES_MAX]; /* the v2 one first, when there is one */
	size_t count;
	int oom;
	unsigned holds;
	struct disks disks; /* none: started without a limit of io */
	bool limited;       /* limits may be set that the next ones don't have */
	bool runs;          /* no further group comes */
	bool drained;       /* of its limits of io */
	int failed;         /* errno of a group that could not be made */
};

/* Who has all of these controllers here; the first is the best. */
struct group *cgroup_holder(struct cgroup *cg, unsigned controllers);

/* Controllers that a job of these limits is put into: each costs an attach. */
unsigned cgroup_wanted(const struct sandbox_limits *limits);

/* SANDBOX_CAN_* of a group with these controllers. */
unsigned cgroup_can_of(unsigned controllers, bool v2);

/* Read-back of a limit in bytes, which the kernel rounds down to pages. */
int group_same_bytes(uint64_t wanted, uint64_t got);

/* Lifts what a file of lines "MAJ:MIN ..." limits. */
void group_drain(int dir, const char *file, const struct group_ops *ops);

/* A weight of io; 0: everybody's. Setter as above. */
int group_set_weight(int dir, const char *file, uint64_t weight);
