/* inside.h - the dispatcher's one struct, and what its files offer each other.
 *
 * One turn of the loop is one transaction: handlers change the store and memory and queue what they
 * have to say; at the end of the turn all of it is committed at once, and only then anything is
 * said. When a commit fails, memory is thrown away and read again from the store, as after a crash.
 */
#pragma once

#include "base/buffer.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/joblog.h"
#include "dispatcher/map.h"
#include "dispatcher/queue.h"
#include "dispatcher/runners.h"
#include "dispatcher/store.h"
#include "dispatcher/timers.h"
#include "proto/link.h"

struct watch;
TAILQ_HEAD(watch_list, watch);
struct session;
TAILQ_HEAD(session_list, session);

struct dispatcher {
	struct event_base *base;
	struct dispatcher_options options;
	char software[32];
	int dir, lock; /* the state directory; the lock in it */
	struct store *store;
	struct timers *timers;
	struct joblogs *logs;
	struct queue queue;
	struct runners runners;
	struct map attempts; /* on somebody's books, by attempt_key() */
	struct link_listener *listeners[DISPATCHER_LISTEN_MAX];
	size_t listeners_count;
	struct session_list sessions, asked;
	struct map sessions_by_id;
	uint64_t last_session;
	uint64_t turns;
	struct buffer outbox; /* said when the turn is committed */
	bool some_doomed;
	struct event *turn;  /* active while there is something to end a turn for */
	struct event *retry; /* looks again at logs that the disk had no room for */
	struct timeval log_retry;
	struct map changed;           /* runs, for who watches them */
	struct map ended;             /* runs, for who follows them all */
	struct map watches;           /* by run: struct watch_list */
	struct tail_list early_tails; /* of jobs that have no attempt yet */
	int64_t space_checked_ms;
	bool space_left;
	int64_t complained_ms; /* complaints in this window, of all peers together */
	unsigned complaints;
};

#define CREDIT (4 << 20) /* log bytes that a runner may send beyond what is durable */

/* --- dispatcher.c
 * ----------------------------------------------------------------------------------- */

/* The turn ends soon: everything that changes anything calls it. */
void turn_wanted(struct dispatcher *d);
/* Whoever watches the run will see it. */
void run_changed(struct dispatcher *d, uint64_t run);
/* Is there room for more work? False: say why not in `err`. */
bool room_for_more(struct dispatcher *d, struct error *err);
int load(struct dispatcher *d, struct error *err);
void unload(struct dispatcher *d);

/* --- outbox.c
 * ----------------------------------------------------------------------------------------- */

/* Says it once what was done before is on disk. NULL session: nobody is there to hear it. The
 * session stays what it is: one that can't be told is doomed, and goes at the end of the turn. */
void say(struct session *s, uint8_t type, const ProtobufCMessage *m);
void say_error(struct session *s, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void say_done(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void outbox_flush(struct dispatcher *d);
void outbox_dismiss_doomed(struct dispatcher *d);
/* Its line has room again. */
void outbox_drained(struct session *s);
/* Forgets what could not be kept, and marks who would have heard it. */
void outbox_drop(struct dispatcher *d);

/* --- life.c: the life of runs, jobs and attempts
 * ---------------------------------------------------------- */

int life_run_new(struct dispatcher *d, const struct run_new *r, uint64_t *run, bool *known);
void life_assign(struct dispatcher *d); /* all that can be placed now */
/* Into the queue in memory, as the store has it already. */
void life_enqueue(struct dispatcher *d, uint64_t job, uint64_t run, Cupel__Kind kind, bool urgent,
		  const char *avoid);
void life_phase(struct attempt *a, Cupel__State to, const Cupel__Limits *granted);
/* Ends it; false: it was over already. `result`: the runner's own word, or NULL. */
bool life_end(struct attempt *a, Cupel__Verdict verdict, bool infrastructure,
	      const Cupel__Result *result, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void life_plan(struct attempt *a, const Cupel__Plan *plan);
/* A job that no attempt ends; `from` as it is in the store. False: it has moved on. */
bool life_job_end(struct dispatcher *d, const struct job_row *job, Cupel__Verdict verdict,
		  const char *reason, bool flaky);

/* --- attempts.c: what is on a runner's books
 * ------------------------------------------------------------------ */

struct attempt *attempt_new(struct dispatcher *d, struct runner *r, uint64_t job, uint64_t run,
			    uint32_t epoch, Cupel__Kind kind, const char *name);
struct attempt *attempt_find(struct dispatcher *d, uint64_t job, uint32_t epoch);
void attempt_free(struct attempt *a);
/* Its slot is free; it goes once it is over, too. */
void attempt_released(struct attempt *a);

/* It takes no slot, and never did: the runner has no more room than before, and isn't asked again
 * for what it had none for. */
void attempt_declined(struct attempt *a);
void attempt_renew(struct attempt *a);
/* Sets the deadlines of its state, from now, or from when it began (clock_wall_ms()) if that is
 * known. */
void attempt_deadlines(struct attempt *a, int64_t started_at_ms);
/* What holds for it whatever its runner says: the job's wish, or the default. */
void attempt_bound(struct attempt *a, const Cupel__JobSpec *spec);
/* The runner has granted this: it may be less. */
void attempt_granted(struct attempt *a, uint64_t wall_ms, uint64_t idle_ms, uint64_t output);
/* Its log, opened when need be; NULL and a log line when it can't be. */
struct joblog *attempt_log(struct attempt *a);
/* Looks whether the result that waits can be concluded by now. */
void attempt_conclude(struct attempt *a);
void attempt_ack_log(struct attempt *a);

/* --- sessions
 * --------------------------------------------------------------------------------------------------
 */

struct session {
	struct dispatcher *d;
	struct link *link;
	uint64_t id;
	Cupel__Role role; /* none until the hello */
	char name[MESSAGE_NAME_MAX + 1];
	struct runner *runner; /* of a runner */
	bool finishing;        /* told to go; nothing is heard any more */
	bool doomed;           /* the same soon: something could not be said to it */
	uint64_t spoke;        /* in which turn last */
	bool owed;             /* something said in this turn never left */
	bool held_back;        /* it doesn't read its answers, so we don't read its questions */
	bool asked;            /* a question in this turn: the next one waits for the next turn */
	size_t in_outbox;      /* bytes */
	struct timer patience; /* for the hello */
	int64_t complained_ms;
	unsigned complaints;
	struct tail_list tails;
	struct watch_list watches;
	TAILQ_ENTRY(session) entry;
	TAILQ_ENTRY(session) asked_entry;
};

int sessions_listen(struct dispatcher *d, struct error *err);
void session_free(struct session *s);
/* Its link is read, unless it is held back or has asked. */
void session_listen(struct session *s);
/* A new turn: who has asked may ask again. */
void sessions_may_ask(struct dispatcher *d);
/* Tells it why and closes. */
void session_dismiss(struct session *s, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* One line for the operator, at most one a minute for each peer, and an error frame. */
void session_complain(struct session *s, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A handler may keep the message by setting *m to NULL. */
typedef void (*frame_handler)(struct session *s, ProtobufCMessage **m);

/* runner_frames.c */
void on_runner_hello(struct session *s, const Cupel__Hello *hello);
void on_runner_gone(struct session *s);
void on_accept(struct session *s, ProtobufCMessage **m);
void on_decline(struct session *s, ProtobufCMessage **m);
void on_heartbeat(struct session *s, ProtobufCMessage **m);
void on_phase(struct session *s, ProtobufCMessage **m);
void on_plan(struct session *s, ProtobufCMessage **m);
void on_result(struct session *s, ProtobufCMessage **m);
void on_released(struct session *s, ProtobufCMessage **m);
void on_log(struct session *s, const struct frame *frame);

/* client_frames.c */
void on_event(struct session *s, ProtobufCMessage **m);
void on_submit(struct session *s, ProtobufCMessage **m);
void on_get(struct session *s, ProtobufCMessage **m);
void on_list(struct session *s, ProtobufCMessage **m);
void on_why(struct session *s, ProtobufCMessage **m);

/* change_frames.c */
void on_cancel(struct session *s, ProtobufCMessage **m);
void on_retry(struct session *s, ProtobufCMessage **m);

/* admin_frames.c */
void on_runners(struct session *s, ProtobufCMessage **m);
void on_drain(struct session *s, ProtobufCMessage **m);
void on_set_limits(struct session *s, ProtobufCMessage **m);
void on_enroll(struct session *s, ProtobufCMessage **m);

/* watch.c */
void on_watch(struct session *s, ProtobufCMessage **m);
void on_follow(struct session *s, ProtobufCMessage **m);
void watch_tell(struct dispatcher *d); /* after a commit */
/* Whoever follows all runs will see this one. */
void watch_run_ended(struct dispatcher *d, uint64_t run);
void watch_drained(struct session *s);
void watch_stop(struct session *s);
/* The run as clients see it, with why it waits; NULL: none. */
Cupel__Run *run_shown(struct dispatcher *d, uint64_t run);

/* tail.c */
void on_tail(struct session *s, ProtobufCMessage **m);
void tail_grown(struct dispatcher *d, struct joblog *log); /* or finished */
void tail_assigned(struct dispatcher *d, const struct attempt *a);
void tail_job_ended(struct dispatcher *d, uint64_t job);
void tail_drained(struct session *s);
void tail_stop(struct session *s);
