/* supervisor.h - the process that looks after one attempt: it does what takes time, holds the
 * sandbox, spools output and result, and fences itself when its lease runs out. It outlives the
 * runner's main process, whose successor finds it by its control socket. */
#pragma once

#include "runner/lease.h"
#include "runner/spool.h"

#include <sys/types.h>

struct supervisor_spec {
	const struct ticket *ticket; /* everything here is borrowed */
	int dir;                     /* the attempt's spool */
	int listener;                /* control socket */
	int work;                    /* directory of worktrees */
	const char *name;            /* SPOOL_NAME_MAX: of spool and worktree */
	const char *cgroup;          /* name of its groups, unique on the box */
	const char *mirrors;
	const char *const *repositories; /* that the owner allows, as in allowed.h */
	uid_t id_base;                   /* host ids of the job; 0: the sandbox chooses */
	uint32_t id_count;
	struct lease lease;
	uint64_t bytes_max;   /* of a checkout */
	uint64_t fetch_least; /* free bytes that a fetch leaves */
	/* With less than this free, a job that holds as much on the disk is ended; 0: no look */
	uint64_t disk_least;
};

/* Once, when only descriptors are open that children need as well: those of the sandbox. */
int supervisor_prepare(struct error *err);

/* Forks; the child never returns. The pid. */
pid_t supervisor_start(const struct supervisor_spec *spec, struct error *err);

/* After a supervisor's death: removes what it left, in a process of its own that exits with 0 when
 * nothing is left. The pid. */
pid_t supervisor_clean(int work, const char *name, const char *cgroup, struct error *err);
