/* cgroup.h - one job's control groups, whichever of the two hierarchies the host has, or both.
 *
 * The v2 tree holds what it has controllers for, and serves for birth, kill and freeze even where
 * it has none; v1 hierarchies hold the rest. Limits are read back after they are written. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "sandbox/sandbox.h"

struct cgroup;
struct plan;

/* Makes the job's groups and sets the limits, or refuses: a limit that nothing here can hold is
 * -EOPNOTSUPP with cause and remedy. Groups that merely measure are left out where they can't be
 * had. `tasks` may stay unheld: ask cgroup_holds(). The plan isn't needed afterwards. */
int cgroup_new(const struct plan *plan, struct cgroup **out, struct error *err);

/* The two halves of it: groups of the kinds that such limits need, and the limits; until a job runs
 * there others may be set instead, also where some were refused. */
int cgroup_make(const struct plan *plan, struct cgroup **out, struct error *err);
int cgroup_prepare(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err);

/* Limits of io: groups for them are one plan's alone. */
bool cgroup_names_disks(const struct sandbox_limits *limits);

/* Opens all that is read when a job is over, for groups that wait for one: up to ten descriptors
 * each, within the first quarter of what this process may have. */
void cgroup_open_ahead(struct cgroup *cg);

/* Opens what these limits and the end of the job are judged by, before it starts: later there may
 * be no descriptor left. */
int cgroup_open(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err);

/* Nobody has removed them. */
bool cgroup_stands(const struct cgroup *cg);

/* Were made below `parent` (NULL: the usual one), and with all that these limits need. */
bool cgroup_serves(const struct cgroup *cg, const char *parent,
		   const struct sandbox_limits *limits);

/* Removes the groups before cgroup_free(), where it matters that they are gone. -EBUSY: somebody is
 * inside, or the kernel has not finished burying. */
int cgroup_vanish(struct cgroup *cg);

/* Removes the groups; whoever is still inside is killed first. NULL is fine. */
void cgroup_free(struct cgroup *cg);
OWNED(cgroup)

/* Frees the memory and leaves the groups as they are: they are another process's. */
void cgroup_forget(struct cgroup *cg);

/* Directory for CLONE_INTO_CGROUP, borrowed; -1 when there is no v2 tree. */
int cgroup_birth(const struct cgroup *cg);

/* Doors to where a birth by CLONE_INTO_CGROUP doesn't lead, the v1 groups: a process of one thread
 * that writes "0" to each is in them. That a thread moves itself is the one move for which the
 * kernel doesn't wait until all processors were idle once: 7 ms on an idle host. The descriptors
 * are the caller's. */
#define CGROUP_DOORS_MAX 12
int cgroup_doors(const struct cgroup *cg, int *out, size_t *count, struct error *err);

/* Puts `pid` into the v2 group, where it could not be born there. */
int cgroup_enter(struct cgroup *cg, pid_t pid, struct error *err);

/* SANDBOX_CAN_* that this job's groups hold. */
unsigned cgroup_holds(const struct cgroup *cg);

/* On failure those before hold on, as far as the kernel lets them. */
int cgroup_set_limits(struct cgroup *cg, const struct sandbox_limits *limits, struct error *err);
int cgroup_freeze(struct cgroup *cg, bool frozen, struct error *err);
void cgroup_kill(struct cgroup *cg);

/* Lifts the limits of io of a job that is over: who waits for the disk can't die before it has
 * answered. Done by cgroup_kill() too. */
void cgroup_drain(struct cgroup *cg);

/* Processes inside right now? 0: proof that nothing survived. -errno: nobody knows. */
int cgroup_populated(const struct cgroup *cg);

/* A descriptor to wait on for a kill by the memory limit, borrowed, and in `events` for what
 * (EPOLL*); -1: none. It tells of less than a kill, too. */
int cgroup_oom_fd(const struct cgroup *cg, uint32_t *events);

/* To be called when it has told: it rests until the next time. */
void cgroup_oom_heard(struct cgroup *cg);

struct cgroup_counts {
	uint64_t oom_kills;     /* processes killed for want of memory, by whosever limit */
	bool memory_full;       /* the job had all that its own limit gives, and was refused more */
	bool memory_guessed;    /* v1: that it had it at some time is all that is known of it */
	uint64_t tasks_refused; /* forks refused by the job's own limit; up to Linux 6.10, and on
				   v1, by that of a group above it, too */
};
int cgroup_counts(const struct cgroup *cg, struct cgroup_counts *out);

/* Fills what the groups measure, and adds that to `measured`; leaves the rest as it is. */
void cgroup_usage(const struct cgroup *cg, struct sandbox_usage *out);
int cgroup_cpu_us(const struct cgroup *cg, uint64_t *out);

/* The name of the groups. */
const char *cgroup_name(const struct cgroup *cg);

/* A job with a control group namespace of its own could change its groups: they belong to its user.
 */
bool cgroup_is_open_to_its_user(void);

/* What can be held here, SANDBOX_CAN_*. */
unsigned cgroup_can(void);

/* Why one of them, a single bit, can't be, and what to do. */
void cgroup_remedy(unsigned can, char *out, size_t size);

/* Kills and removes the groups that a caller who died left behind. Fine when there are none. */
int cgroup_remove(const char *parent, const char *name, struct error *err);
