#include "dispatcher/inside.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- cancel and retry
 * -------------------------------------------------------------------------------------- */

struct rows {
	struct job_row *row;
	size_t count, size;
	const char *only; /* a name, "" all */
};

static void collect(void *context, const struct job_row *row)
{
	struct rows *r = context;

	if (*r->only && strcmp(r->only, row->name) != 0)
		return;
	if (r->count == r->size) {
		size_t size = r->size ? r->size * 2 : 16;
		struct job_row *grown = realloc(r->row, size * sizeof(*grown));

		if (!grown)
			return; /* what is done is counted in the answer */
		r->row = grown;
		r->size = size;
	}
	r->row[r->count++] = *row;
}

static bool has_run(struct session *s, uint64_t run)
{
	struct run_place place;
	bool found = store_run_place(s->d->store, run, &place) == 0;

	run_place_done(&place);
	if (!found)
		say_error(s, ENOENT, "there is no run %" PRIu64, run);
	return found;
}

static bool cancel_one(struct dispatcher *d, const struct job_row *row, const char *reason)
{
	struct attempt *a;
	Cupel__Stop stop = CUPEL__STOP__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;

	if (!state_is_live(row->state))
		return life_job_end(d, row, CUPEL__VERDICT__VERDICT_CANCELLED, reason, false);
	a = attempt_find(d, row->id, row->epoch);
	if (!a)
		return false;
	which.job = a->job;
	which.epoch = a->epoch;
	stop.attempt = &which;
	stop.reason = (char *)reason;
	say(a->runner->session, FRAME_STOP, &stop.base);
	return life_end(a, CUPEL__VERDICT__VERDICT_CANCELLED, false, NULL, "%s", reason);
}

void on_cancel(struct session *s, ProtobufCMessage **m)
{
	const Cupel__RunRequest *w = (const Cupel__RunRequest *)*m;
	/* Those that wait for others first: otherwise the end of these would skip them. */
	static const Cupel__State order[] = {
		CUPEL__STATE__STATE_HELD,     CUPEL__STATE__STATE_QUEUED,
		CUPEL__STATE__STATE_ASSIGNED, CUPEL__STATE__STATE_PREPARING,
		CUPEL__STATE__STATE_RUNNING,  CUPEL__STATE__STATE_FINISHING,
	};
	struct rows rows = {.only = w->job};
	char reason[MESSAGE_TEXT_MAX];
	unsigned count = 0;

	if (!has_run(s, w->run))
		return;
	(void)snprintf(reason, sizeof(reason), "cancelled by %s%s%s", s->name,
		       *w->reason ? ": " : "", w->reason); /* cut when too long */
	store_jobs_of(s->d->store, w->run, collect, &rows);
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++)
		for (size_t i = 0; i < rows.count; i++)
			if (rows.row[i].state == order[o])
				count += cancel_one(s->d, &rows.row[i], reason);
	free(rows.row);
	if (count)
		say_done(s, "%u job%s cancelled", count, count == 1 ? "" : "s");
	else
		say_error(s, ENOENT,
			  *w->job ? "run %" PRIu64 " has no job %s that could be cancelled"
				  : "run %" PRIu64 " has ended already%s",
			  w->run, w->job);
}

static bool worth_retrying(const struct job_row *row, const Cupel__RunRequest *w, bool has_jobs)
{
	if (row->state != CUPEL__STATE__STATE_ENDED)
		return false;
	if (row->kind == CUPEL__KIND__KIND_PLAN)
		return !has_jobs; /* what was planned stays planned */
	return !w->failed_only || row->verdict != CUPEL__VERDICT__VERDICT_PASSED;
}

/* A job that is held by one that has ended, and not passed, would wait for ever: skipped again. */
static void skip_hopeless(struct dispatcher *d, const struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct job_row now;

		if (store_job(d->store, rows->row[i].id, &now) == 0 &&
		    now.state == CUPEL__STATE__STATE_HELD && store_needs_hopeless(d->store, now.id))
			(void)life_job_end(d, &now, CUPEL__VERDICT__VERDICT_SKIPPED,
					   "it needs a job that did not pass; retry that one, too",
					   false); /* it is held */
	}
}

/* With a job, also those that were skipped because of it. */
static void add_skipped(struct dispatcher *d, struct rows *chosen, uint64_t run)
{
	struct rows all = {.only = ""};
	bool grew;

	store_jobs_of(d->store, run, collect, &all);
	do {
		grew = false;
		for (size_t i = 0; i < all.count; i++) {
			struct job_row *row = &all.row[i];

			if (row->verdict != CUPEL__VERDICT__VERDICT_SKIPPED || !row->run)
				continue;
			for (size_t c = 0; c < chosen->count && row->run; c++)
				if (store_job_has_need(d->store, row->id, chosen->row[c].id)) {
					chosen->only = "";
					collect(chosen, row);
					row->run = 0; /* taken */
					grew = true;
				}
		}
	} while (grew);
	free(all.row);
}

void on_retry(struct session *s, ProtobufCMessage **m)
{
	const Cupel__RunRequest *w = (const Cupel__RunRequest *)*m;
	struct rows rows = {.only = w->job};
	unsigned count = 0;
	bool has_jobs = false;

	if (!has_run(s, w->run))
		return;
	store_jobs_of(s->d->store, w->run, collect, &rows);
	if (*w->job && rows.count)
		add_skipped(s->d, &rows, w->run);
	for (size_t i = 0; i < rows.count; i++)
		has_jobs |= rows.row[i].kind == CUPEL__KIND__KIND_JOB;
	/* All verdicts go first: what a job needs may be among those that are retried. */
	for (size_t i = 0; i < rows.count; i++)
		if (worth_retrying(&rows.row[i], w, has_jobs))
			count += store_job_retry(s->d->store, rows.row[i].id,
						 CUPEL__STATE__STATE_HELD) == 1;
		else
			rows.row[i].id = 0;
	if (count) {
		(void)store_run_reopen(s->d->store, w->run); /* sticks when it fails */
		(void)store_run_open(s->d->store, w->run, (int)count);
	}
	for (size_t i = 0; i < rows.count; i++)
		if (rows.row[i].id && store_needs_left(s->d->store, rows.row[i].id) == 0 &&
		    store_job_move(s->d->store, rows.row[i].id, CUPEL__STATE__STATE_HELD,
				   CUPEL__STATE__STATE_QUEUED) == 1)
			life_enqueue(s->d, rows.row[i].id, w->run, rows.row[i].kind, false, "");
	skip_hopeless(s->d, &rows);
	free(rows.row);
	run_changed(s->d, w->run);
	if (count)
		say_done(s, "%u job%s queued again", count, count == 1 ? "" : "s");
	else
		say_error(s, ENOENT,
			  *w->job ? "run %" PRIu64 " has no job %s that has ended%s"
				  : "run %" PRIu64 " has no job%s that could be retried%s",
			  w->run, w->job, w->failed_only ? " and not passed" : "");
}
