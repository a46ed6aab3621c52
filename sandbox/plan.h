/* plan.h - all that the child needs to set itself up, made by the parent before there is a child,
 * so that the child allocates nothing and decides nothing. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/filter.h"
#include "sandbox/ids.h"
#include "sandbox/processor.h"
#include "sandbox/sandbox.h"
#include "sandbox/source.h"
#include "sandbox/step.h"

#include <sys/resource.h>

/* What the child says through the control socket, one message a packet. */
enum word {
	WORD_FAILED = 1, /* a step failed: the program never ran */
	WORD_READY,  /* it is executed next, and only that can still fail; comes with its filter's
			listener, if there is one */
	WORD_ENDING, /* it ended, at `ended`; its status is somebody's who traces it */
	WORD_ENDED,  /* it ended with `status` */
	WORD_REAPED, /* of the launcher: the first process is gone, with `status` and `usage` */
	WORD_HALTED, /* for tests: stands still at `step` */
};

struct message {
	enum word word;
	enum step step;
	int code;         /* errno of the failed step */
	char detail[160]; /* the thing that it failed on */
	int status;       /* as wait(2) tells it */
	uint64_t disk;    /* bytes: the most that was seen in use where the disk limit holds */
	bool no_bytes, no_inodes; /* were seen to be left in one of these places */
	int64_t ended;            /* clock_boot_ms() */
	struct rusage usage;
};

/* How much of the set-up a child does before it knows the plan. */
enum birth {
	BIRTH_PLANNED, /* none: it is a copy of the process that made the plan */
	BIRTH_PLAIN,   /* hardly any: the launcher's child, in a copy of the host's mounts */
	BIRTH_READY,   /* nearly all: the launcher's child, in a copy of its ready root */
};

struct plan {
	const struct sandbox_spec *spec; /* borrowed */
	struct ids ids;
	const char **argv;            /* borrowed from the spec */
	char **env;                   /* owned */
	const char *path;             /* PATH of env, borrowed from it */
	const char *workdir;          /* borrowed from the spec */
	struct processors processors; /* the program's: those that the caller may use */

	enum birth birth;
	bool waits;                        /* a ready one: for its order, hours maybe */
	int control, input, output, error; /* all above 2 */
	int go; /* of the launcher's child: says that its ids are written; -1: `control` does */
	int door[CGROUP_DOORS_MAX]; /* of control groups */
	size_t door_count;
	struct source worktree; /* fd -1: a private one */
	struct source system;   /* the root of the owner's choice; fd -1 and no path: the host's */
	struct source *binds;
	size_t bind_count;

	bool bounded; /* the worktree's file system is no larger than the disk limit */
	uint64_t private_bytes, private_inodes; /* of the private directories together */
	uint64_t born_bytes, born_inodes;       /* what they were made with, if before the plan */
	uint64_t tasks;                         /* RLIMIT_NPROC, where no cgroup holds it; 0: not */
	unsigned deny;                          /* FILTER_*, beyond the profile */
	const struct filter *filter;            /* borrowed, lives as long as the process */
	char *title;                            /* the process's arguments as others see them */
	size_t title_length;
	bool network_ready; /* born into one with lo up */

	bool templated;           /* `root` is a copy of the template, with all that it holds */
	int landlock;             /* the child's ruleset, -1: none */
	int listener;             /* the child's: of its filter, -1: none */
	uint64_t landlock_writes; /* what it holds of files; 0: nothing */
	int root, store; /* the child's: the new root, and what is behind its private parts */
	struct message failure; /* the child's: filled by the step that fails */
};

/* `plan` borrows from `spec`. */
int plan_make(const struct sandbox_spec *spec, struct plan *out, struct error *err);
void plan_done(struct plan *plan);

/* Fills `title`. 0 or -errno. */
int plan_find_title(struct plan *plan);

/* Notes what a step failed on; returns -errno as it was on entry, -EIO where that was 0. */
int plan_fail(struct plan *plan, const char *detail);
