/* runner.h - one box's runner: takes assignments, has supervisors carry them out, reports until it
 * is acknowledged. */
#pragma once

#include "proto/dial.h"
#include "runner/allowed.h"
#include "runner/ceiling.h"

#include <event2/event.h>

#define RUNNER_SLOTS_MAX  64 /* each slot has ids of its own on the host */
#define RUNNER_LABELS_MAX 64

struct runner_options {
	const char *state;
	const char *work; /* NULL: STATE/work */
	const char *name;
	struct link_address address;
	const struct link_token *token; /* NULL for unix sockets */
	struct owner_limits owner;
	const char *labels[RUNNER_LABELS_MAX + 1]; /* NULL-terminated */
	const char *repositories[ALLOWED_MAX + 1]; /* that it takes; none: all. NULL-terminated */
	uint64_t disk_floor; /* free bytes below which nothing is taken; 0: 5 % of the disk */
};

struct runner;

/* Everything but the connection: directories, leftovers, what the box can do. Refuses what can't be
 * held. Call it before anything else opens descriptors (supervisor_prepare()). */
int runner_new(struct event_base *base, const struct runner_options *options, struct runner **out,
	       struct error *err);
void runner_free(struct runner *r);
OWNED(runner)

/* Ends the jobs, then leaves the event loop; the second call leaves at once. */
void runner_stop(struct runner *r);
/* Leaves the loop and the jobs to the next runner of this state. */
void runner_leave(struct runner *r);

/* After the loop: the dispatcher's refusal, or NULL. */
const char *runner_refusal(const struct runner *r);
