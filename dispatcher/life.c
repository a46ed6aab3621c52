#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLAN_NAME "plan"

void life_enqueue(struct dispatcher *d, uint64_t job, uint64_t run, Cupel__Kind kind, bool urgent,
		  const char *avoid)
{
	struct runner *away = *avoid ? runners_find(&d->runners, avoid) : NULL;
	Cupel__JobSpec *spec = kind == CUPEL__KIND__KIND_JOB ? store_job_spec(d->store, job) : NULL;

	if (kind == CUPEL__KIND__KIND_JOB && !spec)
		log_error("job %" PRIu64 " has no readable specification and stays queued", job);
	else if (queue_put(&d->queue, job, run, spec, urgent, away) < 0)
		log_error("no memory to queue job %" PRIu64 "; a restart takes it up again", job);
	if (spec)
		cupel__job_spec__free_unpacked(spec, NULL);
	turn_wanted(d);
}

/* --- runs
 * --------------------------------------------------------------------------------------------- */

int life_run_new(struct dispatcher *d, const struct run_new *r, uint64_t *run, bool *known)
{
	struct job_new plan = {.name = PLAN_NAME, .kind = CUPEL__KIND__KIND_PLAN};
	uint64_t job;
	int rc = store_run_add(d->store, r, run, known);

	if (rc < 0 || *known)
		return rc;
	plan.run = *run;
	plan.state = CUPEL__STATE__STATE_QUEUED;
	rc = store_job_add(d->store, &plan, &job);
	if (rc < 0 || store_run_open(d->store, *run, 1) < 0)
		return rc < 0 ? rc : -EIO;
	life_enqueue(d, job, *run, plan.kind, false, "");
	return 0;
}

/* One sentence for the whole run. */
static void tell_run(const struct run_sum *sum, char *out, size_t size)
{
	if (sum->verdict == CUPEL__VERDICT__VERDICT_PASSED)
		(void)snprintf(out, size, "%u job%s passed%s", sum->like_this,
			       sum->like_this == 1 ? "" : "s",
			       sum->flaky ? ", not all at the first attempt" : "");
	else if (!*sum->job)
		(void)snprintf(out, size, "%.3800s", sum->reason);
	else if (sum->like_this > 1)
		(void)snprintf(out, size, "%s: %.3800s (and %u more)", sum->job, sum->reason,
			       sum->like_this - 1);
	else
		(void)snprintf(out, size, "%s: %.3800s", sum->job,
			       sum->reason); /* cut when too long */
}

static void run_ended(struct dispatcher *d, uint64_t run)
{
	char text[MESSAGE_TEXT_MAX];
	struct run_sum sum;

	if (store_run_sum(d->store, run, &sum) < 0)
		return; /* the commit will fail and tell */
	tell_run(&sum, text, sizeof(text));
	(void)store_run_end(d->store, run, sum.verdict, text,
			    sum.flaky && sum.verdict == CUPEL__VERDICT__VERDICT_PASSED,
			    clock_wall_ms()); /* sticks when it fails */
	watch_run_ended(d, run);
}

/* --- jobs that end
 * ------------------------------------------------------------------------------------- */

struct dependents {
	struct job_row *rows;
	size_t count, size;
};

static void collect(void *context, const struct job_row *row)
{
	struct dependents *list = context;

	if (list->count == list->size) {
		size_t size = list->size ? list->size * 2 : 8;
		struct job_row *rows = realloc(list->rows, size * sizeof(*rows));

		if (!rows) {
			log_error("no memory to go on after job %" PRIu64 "; retry it", row->id);
			return;
		}
		list->rows = rows;
		list->size = size;
	}
	list->rows[list->count++] = *row;
}

/* Those that needed the job: they may run now, or they never will. */
static void tell_dependents(struct dispatcher *d, const struct job_row *job, Cupel__Verdict verdict)
{
	struct dependents list = {0};
	char reason[MESSAGE_NAME_MAX + 64];

	store_jobs_needing(d->store, job->id, collect, &list);
	(void)snprintf(reason, sizeof(reason), "it needs %s, which ended as %s", job->name,
		       verdict_word(verdict)); /* fits */
	for (size_t i = 0; i < list.count; i++) {
		const struct job_row *row = &list.rows[i];

		if (verdict != CUPEL__VERDICT__VERDICT_PASSED) {
			(void)life_job_end(d, row, CUPEL__VERDICT__VERDICT_SKIPPED, reason,
					   false); /* another need may have ended it */
		} else if (store_needs_left(d->store, row->id) == 0 &&
			   store_job_move(d->store, row->id, CUPEL__STATE__STATE_HELD,
					  CUPEL__STATE__STATE_QUEUED) == 1) {
			life_enqueue(d, row->id, row->run, row->kind, false, "");
		}
	}
	free(list.rows);
}

bool life_job_end(struct dispatcher *d, const struct job_row *job, Cupel__Verdict verdict,
		  const char *reason, bool flaky)
{
	if (store_job_end(d->store, job->id, job->state, verdict, reason, flaky) != 1)
		return false;
	(void)queue_drop(&d->queue, job->id); /* it may not have waited */
	tell_dependents(d, job, verdict);
	if (store_run_open(d->store, job->run, -1) == 0)
		run_ended(d, job->run);
	tail_job_ended(d, job->id);
	run_changed(d, job->run);
	turn_wanted(d);
	return true;
}

/* --- assigning
 * ------------------------------------------------------------------------------------------- */

static void tell_runner(struct attempt *a, const struct run_place *place, Cupel__JobSpec *spec)
{
	Cupel__Assign m = CUPEL__ASSIGN__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;

	which.job = a->job;
	which.epoch = a->epoch;
	m.attempt = &which;
	m.run = a->run;
	m.kind = a->kind;
	m.repository = place->repository;
	m.name = place->name;
	m.revision = *place->commit ? place->commit : place->revision;
	m.ref = place->ref;
	m.spec = spec;
	say(a->runner->session, FRAME_ASSIGN, &m.base);
}

/* The next attempt of the job, on the books; NULL: there can't be one now. */
static struct attempt *next_attempt(struct dispatcher *d, const struct waiting *w, struct runner *r,
				    const char *name)
{
	uint32_t epoch = store_attempt_add(d->store, w->job, r->name, clock_wall_ms());
	int rc = epoch ? joblogs_clear(d->logs, w->run, w->job, epoch) : 0;

	if (rc < 0)
		log_error("an old log is where that of job %" PRIu64 " should be: %s", w->job,
			  strerror(-rc));
	if (!epoch || rc < 0)
		return NULL;
	return attempt_new(d, r, w->job, w->run, epoch,
			   w->plan ? CUPEL__KIND__KIND_PLAN : CUPEL__KIND__KIND_JOB, name);
}

static void assign(struct dispatcher *d, const struct waiting *w, struct runner *r)
{
	Cupel__JobSpec *spec = w->plan ? NULL : store_job_spec(d->store, w->job);
	struct run_place place = {0};
	struct attempt *a = NULL;

	if (store_run_place(d->store, w->run, &place) == 0)
		a = next_attempt(d, w, r, spec ? spec->name : PLAN_NAME);
	if (a) {
		attempt_bound(a, spec);
		tell_runner(a, &place, spec);
		attempt_renew(a);
		attempt_deadlines(a, 0);
		tail_assigned(d, a);
		run_changed(d, w->run);
	} else {
		log_error("job %" PRIu64 " could not be assigned; a restart takes it up again",
			  w->job);
	}
	run_place_done(&place);
	if (spec)
		cupel__job_spec__free_unpacked(spec, NULL);
}

void life_assign(struct dispatcher *d)
{
	int64_t now = clock_boot_ms();
	struct runner *r = NULL;
	struct waiting *w;

	while ((w = queue_next(&d->queue, &d->runners, now, &r))) {
		assign(d, w, r);
		free(w);
	}
}

/* --- attempts
 * --------------------------------------------------------------------------------------------- */

void life_phase(struct attempt *a, Cupel__State to, const Cupel__Limits *granted)
{
	struct dispatcher *d = a->dispatcher;

	if (a->over || !transition_exists(TRANSITION_ATTEMPT, a->state, to) || !state_is_live(to))
		return; /* said twice, or later than what is known */
	if (store_attempt_phase(d->store, a->job, a->epoch, a->state, to, granted,
				clock_wall_ms()) != 1)
		return;
	a->state = to;
	a->arrived = true;
	if (granted)
		attempt_granted(a, granted->wall_ms, granted->idle_ms, granted->output);
	attempt_deadlines(a, 0);
	run_changed(d, a->run);
	turn_wanted(d);
}

/* The job's own end, after its last attempt. */
static void end_job_of(struct attempt *a, Cupel__Verdict verdict, const char *reason)
{
	struct job_row job = {.id = a->job, .run = a->run, .kind = a->kind, .state = a->state};
	struct past past = {0};
	bool flaky = false;

	(void)snprintf(job.name, sizeof(job.name), "%s", a->name); /* names fit */
	if (verdict == CUPEL__VERDICT__VERDICT_PASSED && a->epoch > 1 &&
	    store_past(a->dispatcher->store, a->job, false, &past) == 0)
		flaky = past_makes_flaky(&past);
	(void)life_job_end(a->dispatcher, &job, verdict, reason, flaky); /* its attempt was live */
}

static void queue_again(struct attempt *a, bool urgent, bool elsewhere)
{
	struct dispatcher *d = a->dispatcher;
	const char *avoid = elsewhere ? a->runner->name : "";

	if (store_job_again(d->store, a->job, a->state, urgent, avoid) == 1)
		life_enqueue(d, a->job, a->run, a->kind, urgent, avoid);
}

/* What becomes of the job, now that the attempt has ended so. */
static void follow(struct attempt *a, Cupel__Verdict verdict, bool infrastructure,
		   const char *reason)
{
	struct dispatcher *d = a->dispatcher;
	Cupel__JobSpec *spec = store_job_spec(d->store, a->job);
	char text[MESSAGE_TEXT_MAX];
	struct retry_wish wish;
	struct past past;
	struct follow f;

	retry_wish_read(spec, &wish);
	(void)store_past(d->store, a->job, true, &past); /* sticks when it fails */
	f = follow_end(verdict, infrastructure, &past, &wish,
		       queue_another_fits(&d->runners, a->runner, spec));
	switch (f.what) {
	case FOLLOW_QUEUE:
		queue_again(a, verdict != CUPEL__VERDICT__VERDICT_DECLINED, f.elsewhere);
		break;
	case FOLLOW_POISON:
		(void)snprintf(
			text, sizeof(text),
			"its runner was lost %u times (%u different ones, the last was %s), so it may be "
			"what breaks them; `cupel retry` runs it again",
			past.lost, past.lost_runners, a->runner->name);
		end_job_of(a, CUPEL__VERDICT__VERDICT_ERRORED, text);
		break;
	case FOLLOW_USED_UP:
		(void)snprintf(text, sizeof(text),
			       "%u attempts failed before it could run; the last, on %s: %.3600s",
			       past.errored, a->runner->name, reason); /* cut when too long */
		end_job_of(a, CUPEL__VERDICT__VERDICT_ERRORED, text);
		break;
	case FOLLOW_END:
		end_job_of(a, verdict, reason);
		break;
	}
	if (spec)
		cupel__job_spec__free_unpacked(spec, NULL);
}

/* It has a verdict: no clock runs for it any more, and who reads its log comes to an end. */
static void retire(struct attempt *a)
{
	struct dispatcher *d = a->dispatcher;
	struct joblog *log = joblog_find(d->logs, a->job, a->epoch);

	a->over = true;
	timers_cancel(d->timers, &a->lease);
	timers_cancel(d->timers, &a->deadline);
	timers_cancel(d->timers, &a->idle);
	if (log) {
		joblog_finish(log);
		tail_grown(d, log);
	}
	run_changed(d, a->run);
	turn_wanted(d);
	if (a->released)
		attempt_free(a);
}

bool life_end(struct attempt *a, Cupel__Verdict verdict, bool infrastructure,
	      const Cupel__Result *result, const char *format, ...)
{
	struct dispatcher *d = a->dispatcher;
	struct joblog *log = joblog_find(d->logs, a->job, a->epoch);
	char reason[MESSAGE_TEXT_MAX];
	struct attempt_end end = {
		verdict,        reason, infrastructure, result, log ? joblog_length(log) : 0,
		clock_wall_ms()};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reason, sizeof(reason), format, args); /* cut when too long */
	va_end(args);
	if (a->over || store_attempt_end(d->store, a->job, a->epoch, &end) != 1)
		return false;
	if (verdict == CUPEL__VERDICT__VERDICT_PASSED)
		end_job_of(a, verdict, reason);
	else
		follow(a, verdict, infrastructure, reason);
	retire(a);
	return true;
}
