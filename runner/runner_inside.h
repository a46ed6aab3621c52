/* runner_inside.h - what the files of the runner's main process share. Used by runner*.c and
 * attempt*.c alone. */
#pragma once

#include "runner/control.h"
#include "runner/lease.h"
#include "runner/runner.h"
#include "runner/spool.h"
#include "runner/window.h"

#include <sys/queue.h>
#include <sys/statvfs.h>

/* One attempt from its assignment until nothing of it is left. */
struct attempt {
	TAILQ_ENTRY(attempt) entry;
	struct runner *runner; /* borrowed */
	char name[SPOOL_NAME_MAX];
	struct ticket ticket;
	Cupel__State state;
	int dir;          /* its spool */
	pid_t supervisor; /* our child until it is reaped; 0: none */
	pid_t adopted;    /* another runner's child, as it told; 0: none */
	pid_t cleaner;
	int control; /* -1: its supervisor is gone */
	struct event *heard;
	struct event *overdue; /* it was told to stop, and should have */
	struct sandbox_usage usage;

	int log;
	struct window window;
	struct answer answer; /* `message` NULL: none yet */
	bool answer_sent;     /* on this connection */
	bool acked;           /* or nobody wants it */
	bool stopped;         /* the dispatcher ended it; the log matters no more */
	bool released, released_told;
	unsigned revoked; /* heartbeats that didn't renew it */
};
TAILQ_HEAD(attempt_list, attempt);

#define HEARTBEATS_OPEN 16 /* sent and not answered */

struct runner {
	struct event_base *base; /* borrowed */
	struct runner_options options;
	const char *work_path;
	char *default_work; /* owned */
	char *mirrors;      /* owned */
	int state, spool, work, lock;
	uint32_t hash; /* of the state directory's path: names and ids unlike other runners' */
	unsigned can;  /* sandbox_can() */
	uint8_t incarnation[16];
	struct owner_limits owner; /* the options', until the dispatcher's admin changes them */
	struct attempt_list attempts;
	struct dial *dial;
	struct event *beat, *child, *stopping_for;
	uint64_t heartbeat_ms, lease_ms;
	int64_t beats[HEARTBEATS_OPEN]; /* when they were sent */
	size_t beats_open;
	bool draining, stopping, left;
	char *refusal;
	char pressure[160];
	bool pressure_told;
	/* the hello's arrays, rebuilt each time */
	Cupel__RunnerInfo info;
	Cupel__Capacity capacity;
	Cupel__Held *held;
	Cupel__Held **held_list;
};

/* --- attempt.c: from the assignment to the supervisor's end --- */

struct attempt *attempt_find(struct runner *r, const Cupel__Attempt *which);
/* What all attempts have together; plans take no slot. */
void attempt_books(const struct runner *r, struct taken *taken, unsigned *plans);
/* Takes over the assign. NULL with the sentence when it could not be started. */
struct attempt *attempt_start(struct runner *r, Cupel__Assign *assign, const Cupel__Limits *granted,
			      struct error *err);
/* Takes up what a spool directory tells. */
void attempt_adopt(struct runner *r, const char *name);
/* Tells the supervisor. */
void attempt_order(struct attempt *a, enum control_order_kind kind, const char *reason);
void attempt_renew(struct attempt *a, int64_t from_ms);
/* A child of ours ended. */
void attempt_reap(struct runner *r, pid_t pid, int status);
bool attempt_is_plan(const struct attempt *a);
/* Nobody wants it: kill, clean, forget. */
void attempt_drop(struct attempt *a, const char *reason);
/* Removes its spool and forgets it. */
void attempt_end(struct attempt *a);
/* Forgets it and leaves the spool to the next runner. */
void attempt_free(struct attempt *a);

/* --- attempt_send.c: towards the dispatcher --- */

/* Sends what is due of log, result, release; frees the attempt once all is said and done. */
void attempt_send(struct attempt *a);
void attempt_send_all(struct runner *r);
void attempt_send_phase(struct attempt *a);
/* A connection: starts over at what the dispatcher has; or there is none. */
void attempt_connected(struct attempt *a, uint64_t durable);

/* --- runner_frames.c: what the dispatcher says --- */

void runner_hello(void *context, Cupel__Hello *hello);
void runner_up(void *context, const Cupel__Welcome *welcome);
void runner_frame(void *context, const struct frame *frame);
void runner_beat(struct runner *r);

/* --- runner.c --- */

/* An attempt ended: is that what stopping waited for? */
void runner_ended(struct runner *r);
/* Bytes that stay free on a file system. */
uint64_t runner_floor(const struct runner *r, const struct statvfs *st);
/* Looks at the disk; "" when all is well. */
const char *runner_pressure(struct runner *r);

/* Which limits can be held for such a job (SANDBOX_CAN_*): disk only where the worktrees stand on a
 * file system that is no larger, which is what the sandbox asks for. `wish` may be NULL. */
unsigned runner_can(const struct runner *r, const Cupel__Limits *wish);
