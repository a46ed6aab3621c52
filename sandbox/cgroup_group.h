/* cgroup_group.h - one directory of one hierarchy, what its version can do with it, and what a job
 * has of them. For the files cgroup*.c alone. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/cgroup_disk.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/cgroup_text.h"

struct group_ops;

#define GROUP_FILES_MAX 7

struct group {
	const struct group_ops *ops;
	int parent, dir; /* owned; -1: there is none */
	unsigned controllers;
	int ahead[GROUP_FILES_MAX]; /* ops->last_read, as far as they are open; owned, -1: not */
	size_t ahead_count;
};

/* What a file decides about, beyond telling what was used. */
enum tells { TELLS_END = 1, TELLS_CPU_TIME = 2, TELLS_COUNTS = 4 };

struct group_file {
	unsigned controllers; /* whose file it is */
	const char *name;
	enum tells tells;
};

/* Setters return 0 or -errno, -ERANGE when the kernel kept another value than was written, of
 * memory -EOPNOTSUPP when it doesn't count swap, which this host has; 0 lifts the limit. All take
 * the group's directory. */
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
	int (*populated)(const struct group *g); /* 0, 1, -errno */
	int (*oom_fd)(int dir);                  /* new descriptor, at rest, or -errno */
	uint32_t oom_events;                     /* EPOLL* */
	void (*oom_heard)(int fd);
	/* `memory`: the limit. */
	int (*counts)(const struct group *g, uint64_t memory, struct cgroup_counts *out);
	void (*usage)(const struct group *g, struct sandbox_usage *out);
	int (*cpu_us)(const struct group *g, uint64_t *out); /* -errno: not measured here */
	const struct group_file *last_read; /* when a job is over; up to GROUP_FILES_MAX */
};

extern const struct group_ops group_v1, group_v2;

struct cgroup {
	char *name, *parent;
	unsigned wanted;                /* controllers that its groups were made for */
	struct group group[PLACES_MAX]; /* the v2 one first, when there is one */
	size_t count;
	int oom; /* of a group of `oom_of`; owned, -1: memory isn't watched */
	const struct group_ops *oom_of;
	unsigned holds;
	struct disks disks;         /* none: started without a limit of io */
	struct sandbox_limits held; /* the last that could all be set */
	bool limited;               /* limits may be set that the next ones don't have */
	bool runs;                  /* no further group comes */
	bool drained;               /* of its limits of io */
	int failed;                 /* errno of a group that could not be made */
};

/* The first opening of a new file is what takes time. Idempotent. */
void group_open_ahead(struct group *g);
void group_close_ahead(struct group *g);

/* Opens those that tell of one of these (TELLS_*). -errno: of one that is there. Idempotent. */
int group_open(struct group *g, unsigned tells);

/* What reading a file of a group says once that is removed, which the kernel does with none that
 * has somebody in it. */
bool group_is_gone(int rc);

/* As the functions of cgroup_file.h. */
int group_text(const struct group *g, const char *file, char *out, size_t size);
int group_number(const struct group *g, const char *file, uint64_t *out);

/* The number behind `key` in a file of lines "KEY NUMBER", -ENOENT; several of them at once:
 * -ENOENT when one isn't there. */
int group_key(const struct group *g, const char *file, const char *key, uint64_t *out);
int group_keys(const struct group *g, const char *file, const char *const *keys, uint64_t *out,
	       size_t count);

/* Who has all of these controllers here; the first is the best. */
struct group *cgroup_holder(struct cgroup *cg, unsigned controllers);

/* Controllers that a job of these limits is put into: each costs an attach. */
unsigned cgroup_wanted(const struct sandbox_limits *limits);

/* SANDBOX_CAN_* of a group with these controllers. */
unsigned cgroup_can_of(unsigned controllers, bool v2);

/* A limit of memory without one of swap would be none. */
bool group_host_has_swap(void);

/* Read-back of a limit in bytes, which the kernel rounds down to pages. */
int group_same_bytes(uint64_t wanted, uint64_t got);

/* Lifts what a file of lines "MAJ:MIN ..." limits. */
void group_drain(int dir, const char *file, const struct group_ops *ops);

/* Setters as above, for both versions. A weight of io: 0 is everybody's. */
int group_set_tasks(int dir, uint64_t tasks);
int group_set_weight(int dir, const char *file, uint64_t weight);
