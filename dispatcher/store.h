/* store.h - what the dispatcher knows, on disk: runs, jobs, attempts, runners, tokens.
 *
 * The narrow door to the database: no SQL passes it. Writes gather in one transaction that
 * store_commit() makes durable; nothing may be said to anybody before that. A failure sticks until
 * then (sql.h), so that a caller who makes five writes asks once. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "dispatcher/transitions.h"
#include "proto/link.h"

struct store;

int store_open(const char *dir, struct store **out, struct error *err);
void store_free(struct store *s);
OWNED(store)

bool store_dirty(const struct store *s);  /* there is something to commit */
int store_failure(const struct store *s); /* 0 while all is well, else -errno */
int store_commit(struct store *s, struct error *err);
void store_rollback(struct store *s);

/* --- runs --------------------------------------------------------------- */

enum source { SOURCE_EVENT, SOURCE_SUBMIT };

struct run_new {
	enum source source;
	const char *repository, *name, *ref, *revision, *commit, *subject, *author;
	const char *delivery; /* NULL or "": none */
	int64_t now_ms;
};
/* Makes the run, or finds the one that is there: of an event by repository and commit, of a submit
 * by its delivery. */
int store_run_add(struct store *s, const struct run_new *r, uint64_t *run, bool *known);

struct run_place {
	char *repository, *name, *ref, *revision, *commit;
};
int store_run_place(struct store *s, uint64_t run, struct run_place *out); /* -ENOENT */
void run_place_done(struct run_place *p);

int store_run_resolved(struct store *s, uint64_t run, const char *commit, const char *subject,
		       const char *author);

/* One job of the run has ended (or begins anew: `by` is -1 or 1). The jobs that are still open. */
int64_t store_run_open(struct store *s, uint64_t run, int by);
int store_run_end(struct store *s, uint64_t run, Cupel__Verdict verdict, const char *reason,
		  bool flaky, int64_t now_ms);
int store_run_reopen(struct store *s, uint64_t run);
/* What the run's verdict is made of; `count` of jobs, plan not counted. */
struct run_sum {
	Cupel__Verdict verdict;
	bool flaky;
	unsigned jobs, like_this;       /* all, and those with `verdict` */
	char job[MESSAGE_NAME_MAX + 1]; /* the first of these */
	char reason[MESSAGE_TEXT_MAX + 1];
};
int store_run_sum(struct store *s, uint64_t run, struct run_sum *out);

/* --- jobs --------------------------------------------------------------- */

struct job_new {
	uint64_t run;
	const char *name;
	Cupel__Kind kind;
	Cupel__State state;         /* held or queued */
	const Cupel__JobSpec *spec; /* NULL of a plan */
};
int store_job_add(struct store *s, const struct job_new *j, uint64_t *job);
int store_job_needs(struct store *s, uint64_t job, uint64_t needed);

/* A job's row. */
struct job_row {
	uint64_t id, run;
	Cupel__Kind kind;
	Cupel__State state;
	Cupel__Verdict verdict;
	uint32_t epoch;
	bool urgent;
	char avoid[MESSAGE_NAME_MAX + 1]; /* the runner that it should not go to, or "" */
	char name[MESSAGE_NAME_MAX + 1];
};
int store_job(struct store *s, uint64_t job, struct job_row *out); /* -ENOENT */
Cupel__JobSpec *store_job_spec(struct store *s,
			       uint64_t job); /* NULL: none; jobspec free_unpacked */

/* Calls for every row; what it calls may read but not write. */
typedef void (*job_visit)(void *context, const struct job_row *row);
void store_jobs_of(struct store *s, uint64_t run, job_visit visit, void *context);
/* Queued ones only, in the order of their ids; specs are asked for one by one. */
void store_jobs_queued(struct store *s, job_visit visit, void *context);
/* Held jobs that need `job`. */
void store_jobs_needing(struct store *s, uint64_t job, job_visit visit, void *context);
/* Of the jobs that `job` needs: how many haven't passed. */
int64_t store_needs_left(struct store *s, uint64_t job);
/* Is one of them over without having passed? Does `job` need `needed`? */
bool store_needs_hopeless(struct store *s, uint64_t job);
bool store_job_has_need(struct store *s, uint64_t job, uint64_t needed);

/* The states that aren't reached through an attempt. `from` must be the present state: one row is
 * counted, 0 means that the job has moved on meanwhile. */
int store_job_move(struct store *s, uint64_t job, Cupel__State from, Cupel__State to);
int store_job_end(struct store *s, uint64_t job, Cupel__State from, Cupel__Verdict verdict,
		  const char *reason, bool flaky);
/* After an attempt: queued again at the head, avoiding a runner ("": none). */
int store_job_again(struct store *s, uint64_t job, Cupel__State from, bool urgent,
		    const char *avoid);
/* A person's retry: the past counts no more. */
int store_job_retry(struct store *s, uint64_t job, Cupel__State to);

/* --- attempts ----------------------------------------------------------- */

/* Queued -> assigned: the next epoch, or 0 when the job wasn't queued any more. */
uint32_t store_attempt_add(struct store *s, uint64_t job, const char *runner, int64_t now_ms);

/* A live attempt goes forward; `granted` NULL: as it was. Rows counted. */
int store_attempt_phase(struct store *s, uint64_t job, uint32_t epoch, Cupel__State from,
			Cupel__State to, const Cupel__Limits *granted, int64_t now_ms);

struct attempt_end {
	Cupel__Verdict verdict;
	const char *reason;
	bool infrastructure;
	const Cupel__Result *result; /* NULL: not the runner's own word */
	uint64_t log_length;
	int64_t now_ms;
};
/* THE statement that ends an attempt. 1: it did; 0: the attempt was over or is another's. */
int store_attempt_end(struct store *s, uint64_t job, uint32_t epoch, const struct attempt_end *e);
/* Keeps what came too late. */
int store_attempt_late(struct store *s, uint64_t job, uint32_t epoch, const char *text);
int store_past(struct store *s, uint64_t job, bool since_retry, struct past *out);

struct attempt_row {
	uint64_t job, run;
	uint32_t epoch;
	Cupel__Kind kind;
	Cupel__State state;
	Cupel__Verdict verdict;
	bool answered;                     /* ended by the runner's own result */
	uint64_t wall_ms, idle_ms, output; /* granted */
	int64_t started_at_ms;
	char runner[MESSAGE_NAME_MAX + 1];
	char name[MESSAGE_NAME_MAX + 1]; /* the job's */
};
typedef void (*attempt_visit)(void *context, const struct attempt_row *row);
void store_attempts_live(struct store *s, attempt_visit visit, void *context);
int store_attempt(struct store *s, uint64_t job, uint32_t epoch, struct attempt_row *out);
char *store_attempt_reason(struct store *s, uint64_t job, uint32_t epoch); /* the caller's */

/* --- runners and tokens
 * ---------------------------------------------------------------------------- */

struct runner_row {
	const char *name, *software;
	const void *incarnation; /* 16 bytes, or NULL */
	bool draining;
	const Cupel__RunnerInfo *info; /* labels and capacity */
	int64_t seen_at_ms;
};
int store_runner_put(struct store *s, const struct runner_row *r);
int store_runner_drain(struct store *s, const char *name, bool draining);
void store_runners(struct store *s, void (*visit)(void *context, const struct runner_row *r),
		   void *context);

int store_token_put(struct store *s, const char *name, Cupel__Role role,
		    const uint8_t secret[LINK_SECRET], int64_t now_ms);
int store_token_drop(struct store *s, const char *name); /* rows */
bool store_token_find(struct store *s, const char *name, uint8_t secret[LINK_SECRET],
		      Cupel__Role *role);

/* --- for clients: whole messages, freed by message_free()
 * --------------------------------------------- */

/* The run with jobs and their newest attempts; NULL: there is none, or no memory. */
Cupel__Run *store_show(struct store *s, uint64_t run);
/* Newest first; jobs without attempts. Stops before the answer grows over a frame. */
Cupel__Runs *store_list(struct store *s, const Cupel__List *wish);
/* Milliseconds in which at least one attempt of the run was under way: the waits are left out, that
 * before a retry above all. */
uint64_t store_run_took(struct store *s, uint64_t run, int64_t now_ms);
/* The job that a Tail means, 0: none such. */
uint64_t store_job_named(struct store *s, uint64_t run, const char *name);
