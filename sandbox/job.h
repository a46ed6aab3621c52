/* job.h - a running job: what sandbox.c starts and ends, and watch.c watches meanwhile. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/denied.h"
#include "sandbox/launch.h"
#include "sandbox/outcome.h"
#include "sandbox/sandbox.h"

struct sandbox {
	struct cgroup *cg;
	struct launched job;
	bool named;                        /* its groups, by the caller */
	struct sandbox_launcher *launcher; /* borrowed; NULL: this process made it */
	struct sandbox_limits limits;
	void (*output)(void *context, int stream, const void *bytes, size_t length);
	void *context;
	bool cut_output;
	bool wide[2]; /* its pipes hold PIPE_SIZE bytes */
	char *command;
	int epoll, timer;

	bool dead; /* its first process is reaped */
	bool over;
	int64_t started, last_output, ended, died; /* clock_boot_ms(); `ended`: the program */
	int64_t killed;                            /* first; 0: it wasn't */
	bool told_undying;                         /* that it doesn't die */
	int64_t frozen_at;                         /* by sandbox_freeze(); 0: it runs */
	bool held;                                 /* its output, by sandbox_hold_output() */
	int64_t next_cpu_check, armed;
	int64_t oom_look_until;
	struct rusage reaped; /* where no group measures */
	bool was_reaped;      /* by the launcher */
	struct sandbox_usage usage;
	struct denied_calls denied;
	struct ending ending;
	char *reason; /* of a cancellation */
	struct sandbox_outcome outcome;
};

/* Gathers all that a job can say behind one descriptor, s->epoll. */
int watch_start(struct sandbox *s, struct error *err);

/* Part of that, also for limits that come later. */
int watch_limits(struct sandbox *s, const struct sandbox_limits *limits);

/* Looks at the clocks, ends what is over its time, and sets the timer to the next moment. */
void watch_clocks(struct sandbox *s);

/* Who isn't let run isn't blamed for his silence: the clock of idleness stands still meanwhile. */
void watch_freeze(struct sandbox *s, bool frozen);

/* Ends the job; the first cause counts. CAUSE_NONE: it has ended itself, what is left goes. */
void watch_kill(struct sandbox *s, enum cause cause);

/* Nor is he blamed whose output isn't taken. */
void watch_hold(struct sandbox *s, bool held);

/* What it has used until now. */
void watch_measure(struct sandbox *s, struct sandbox_usage *out);
