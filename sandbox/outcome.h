/* outcome.h - from what was observed to the verdict and its sentence. Pure. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/plan.h"

enum cause {
	CAUSE_NONE, /* it ended by itself */
	CAUSE_WALL,
	CAUSE_IDLE,
	CAUSE_CPU_TIME,
	CAUSE_OUTPUT,
	CAUSE_MEMORY,
	CAUSE_DISK,
	CAUSE_CANCELLED,
	CAUSE_LIBRARY, /* the watching itself failed */
};

struct ending {
	enum cause cause;
	bool has_status; /* the job's first process told how the program ended */
	int status;      /* as wait(2) tells it */
	struct cgroup_counts counts;
	uint64_t fewest_tasks;    /* the lowest limit of tasks that it had; 0: none */
	bool no_bytes, no_inodes; /* were left somewhere where the job may write */
	struct message failure;   /* WORD_FAILED: the program never ran */
	const char *command;      /* borrowed */
	const char *victim;       /* of the memory limit; NULL: not known */
	const char *reason;       /* of a cancellation or of the library's failure; NULL: none */
};

/* The program ended by itself, and well, whatever else there is. */
bool outcome_is_success(const struct ending *ending);

/* Fills all of `out` but usage and denied, which are there already. */
void outcome_judge(const struct ending *ending, const struct sandbox_limits *limits,
		   struct sandbox_outcome *out);

/* "passed", "timed_out", ... */
const char *outcome_verdict_name(enum sandbox_verdict verdict);
