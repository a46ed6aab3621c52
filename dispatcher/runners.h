/* runners.h - the runners that were ever seen, and what is on each one's books. */
#pragma once

#include "base/owned.h"
#include "dispatcher/map.h"
#include "dispatcher/timers.h"
#include "proto/message.h"

#include <sys/queue.h>

struct session;
struct joblog;
struct runner;
struct dispatcher;

/* One attempt on a runner's books: from its assignment until the runner says that it is released.
 */
struct attempt {
	struct dispatcher *dispatcher;
	uint64_t job, run;
	uint32_t epoch;
	Cupel__Kind kind;
	Cupel__State state;
	bool over;        /* it has a verdict; only its slot is still in use */
	bool released;    /* its slot is free already, but it has no verdict yet */
	bool log_refused; /* the disk had no room for its log */
	bool log_told;    /* and that was logged */
	bool unheard;     /* over, and missing in the last heartbeat */
	bool arrived;     /* the runner has shown that it knows of it */
	char *name;       /* of the job */
	struct runner *runner;
	struct timer lease, deadline, idle;
	uint64_t wall_ms, idle_ms, output; /* our own bounds: see attempt_bound() */
	int64_t progress_at_ms;            /* clock_boot_ms() of the last output */
	uint64_t spooled;                  /* as the runner said last */
	struct joblog *log;                /* NULL until there is output */
	Cupel__Result *result;             /* waits for its log to be durable */
	Cupel__Usage *usage;               /* of the last heartbeat */
	TAILQ_ENTRY(attempt) entry;        /* of runner->attempts */
};

struct runner {
	char name[MESSAGE_NAME_MAX + 1];
	struct session *session; /* NULL: not connected */
	uint8_t incarnation[16];
	Cupel__RunnerInfo *info; /* labels and capacity; never NULL */
	Cupel__Capacity *unused; /* NULL: not said */
	char *pressure;          /* NULL: none */
	char *software;
	bool draining;
	int64_t seen_at_ms;   /* clock_wall_ms() */
	unsigned jobs, plans; /* on its books */
	TAILQ_HEAD(attempt_list, attempt) attempts;
	TAILQ_ENTRY(runner) entry;
	TAILQ_ENTRY(runner) ready_entry;
	bool ready; /* connected, and may take something now */
	struct runner *same_hash;
};

TAILQ_HEAD(runner_list, runner);
struct runners {
	struct runner_list all, ready;
	struct map by_name;
	uint64_t generation; /* changes when who fits what may have changed */
};

void runners_init(struct runners *r);
void runners_done(struct runners *r);
struct runner *runners_find(const struct runners *r, const char *name);
struct runner *runners_add(struct runners *r, const char *name); /* NULL: no memory */

/* Takes over labels and capacity from a hello or the store. */
int runner_describe(struct runners *all, struct runner *r, const char *software,
		    const Cupel__RunnerInfo *info);

/* To be called whenever something changed that `ready` rests on. */
void runner_update(struct runners *all, struct runner *r);
bool runner_has_slot(const struct runner *r);
bool runner_has_plan_slot(const struct runner *r);

/* A copy that the heap owns; NULL: no memory. */
ProtobufCMessage *message_copy(const ProtobufCMessage *m);
