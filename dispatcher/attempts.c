#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- on the books and off them
 * ------------------------------------------------------------------------- */

static void lease_expired(void *context);
static void deadline_expired(void *context);
static void idle_expired(void *context);

static unsigned *books(struct attempt *a)
{
	return a->kind == CUPEL__KIND__KIND_PLAN ? &a->runner->plans : &a->runner->jobs;
}

struct attempt *attempt_new(struct dispatcher *d, struct runner *r, uint64_t job, uint64_t run,
			    uint32_t epoch, Cupel__Kind kind, const char *name)
{
	struct attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	*a = (struct attempt){
		.dispatcher = d,
		.job = job,
		.run = run,
		.epoch = epoch,
		.kind = kind,
		.state = CUPEL__STATE__STATE_ASSIGNED,
		.runner = r,
		.name = strdup(name),
		.lease = {.expired = lease_expired, .context = a},
		.deadline = {.expired = deadline_expired, .context = a},
		.idle = {.expired = idle_expired, .context = a},
	};
	if (!a->name || map_put(&d->attempts, attempt_key(job, epoch), a) < 0) {
		free(a->name);
		free(a);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->attempts, a, entry);
	++*books(a);
	runner_update(&d->runners, r);
	return a;
}

struct attempt *attempt_find(struct dispatcher *d, uint64_t job, uint32_t epoch)
{
	struct attempt *a = map_get(&d->attempts, attempt_key(job, epoch));

	return a && a->job == job && a->epoch == epoch ? a : NULL;
}

static void cancel_timers(struct attempt *a)
{
	timers_cancel(a->dispatcher->timers, &a->lease);
	timers_cancel(a->dispatcher->timers, &a->deadline);
	timers_cancel(a->dispatcher->timers, &a->idle);
}

static void leave_books(struct attempt *a)
{
	a->released = true;
	--*books(a);
	runner_update(&a->dispatcher->runners, a->runner);
}

static void free_slot(struct attempt *a)
{
	if (a->released)
		return;
	leave_books(a);
	queue_reopen(&a->dispatcher->queue, a->runner, false);
}

void attempt_free(struct attempt *a)
{
	struct dispatcher *d = a->dispatcher;

	cancel_timers(a);
	free_slot(a);
	TAILQ_REMOVE(&a->runner->attempts, a, entry);
	(void)map_take(&d->attempts, attempt_key(a->job, a->epoch)); /* it is `a` */
	joblog_put(a->log);
	if (a->result)
		cupel__result__free_unpacked(a->result, NULL);
	if (a->usage)
		cupel__usage__free_unpacked(a->usage, NULL);
	free(a->name);
	free(a);
}

void attempt_declined(struct attempt *a)
{
	if (!a->released)
		leave_books(a);
}

void attempt_released(struct attempt *a)
{
	if (a->over)
		attempt_free(a);
	else
		free_slot(a);
}

/* --- its limits
 * ------------------------------------------------------------------------------------------ */

/* More is no more, and sums with clocks and offsets must not overflow. */
#define WISH_MOST ((uint64_t)1 << 60)

static uint64_t wish_or(uint64_t wish, uint64_t otherwise)
{
	return !wish ? otherwise : wish < WISH_MOST ? wish : WISH_MOST;
}

void attempt_bound(struct attempt *a, const Cupel__JobSpec *spec)
{
	static const Cupel__Limits none = CUPEL__LIMITS__INIT;
	const Cupel__Limits *wish = spec && spec->limits ? spec->limits : &none;

	a->wall_ms = wish_or(wish->wall_ms, LIMIT_WALL_MS);
	a->idle_ms = wish_or(wish->idle_ms, LIMIT_IDLE_MS);
	a->output = wish_or(wish->output, LIMIT_OUTPUT);
}

static void lower(uint64_t *limit, uint64_t to)
{
	if (to && to < *limit)
		*limit = to;
}

void attempt_granted(struct attempt *a, uint64_t wall_ms, uint64_t idle_ms, uint64_t output)
{
	lower(&a->wall_ms, wall_ms);
	lower(&a->idle_ms, idle_ms);
	lower(&a->output, output);
}

/* --- its clocks
 * ------------------------------------------------------------------------------------------ */

static void set(struct attempt *a, struct timer *timer, int64_t at_ms)
{
	if (timers_set(a->dispatcher->timers, timer, at_ms) < 0)
		log_error("job %" PRIu64 ": no memory for a deadline", a->job);
}

void attempt_renew(struct attempt *a)
{
	const struct dispatcher_options *o = &a->dispatcher->options;

	set(a, &a->lease, clock_boot_ms() + (int64_t)(o->lease_ms + o->lease_slack_ms));
}

/* Of the time since the attempt began to run, what has gone by already. */
static int64_t elapsed_ms(int64_t started_at_ms)
{
	int64_t gone = started_at_ms ? clock_wall_ms() - started_at_ms : 0;

	return gone > 0 ? gone : 0; /* the people's clock may jump */
}

void attempt_deadlines(struct attempt *a, int64_t started_at_ms)
{
	struct dispatcher *d = a->dispatcher;
	const struct dispatcher_options *o = &d->options;
	int64_t now = clock_boot_ms();

	timers_cancel(d->timers, &a->deadline);
	timers_cancel(d->timers, &a->idle);
	switch (a->state) {
	case CUPEL__STATE__STATE_ASSIGNED:
		set(a, &a->deadline, now + (int64_t)o->accept_ms);
		break;
	case CUPEL__STATE__STATE_RUNNING:
		a->progress_at_ms = now;
		set(a, &a->deadline,
		    now + (int64_t)(a->wall_ms + o->deadline_slack_ms) - elapsed_ms(started_at_ms));
		set(a, &a->idle, now + (int64_t)(a->idle_ms + o->deadline_slack_ms));
		break;
	default: /* preparing, finishing */
		set(a, &a->deadline, now + (int64_t)o->prepare_ms);
		break;
	}
}

static void stop(struct attempt *a, const char *reason)
{
	Cupel__Stop m = CUPEL__STOP__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;

	which.job = a->job;
	which.epoch = a->epoch;
	m.attempt = &which;
	m.reason = (char *)reason;
	say(a->runner->session, FRAME_STOP, &m.base);
}

static void lease_expired(void *context)
{
	struct attempt *a = context;
	const struct dispatcher_options *o = &a->dispatcher->options;
	char time[32];

	units_format_time(o->lease_ms + o->lease_slack_ms, time, sizeof(time));
	stop(a, "its lease ran out");
	(void)life_end(a, CUPEL__VERDICT__VERDICT_LOST, false, NULL,
		       "the lease ran out: %s was not heard of for %s", a->runner->name,
		       time); /* it is live, or the timer would not be set */
}

/* While the runner is away its own clock holds the limits, and the lease decides here. */
static bool runner_away(struct attempt *a, struct timer *timer)
{
	if (a->runner->session)
		return false;
	set(a, timer, a->lease.at_ms + 1);
	return true;
}

static void running_too_long(struct attempt *a)
{
	char time[32];

	units_format_time(a->wall_ms, time, sizeof(time));
	stop(a, "its time is over");
	(void)life_end(a, CUPEL__VERDICT__VERDICT_TIMED_OUT, false, NULL,
		       "it ran longer than its wall limit of %s, and %s had not stopped it", time,
		       a->runner->name); /* live, as above */
}

static void deadline_expired(void *context)
{
	struct attempt *a = context;
	const struct dispatcher_options *o = &a->dispatcher->options;
	char time[32];

	if (runner_away(a, &a->deadline))
		return;
	if (a->state == CUPEL__STATE__STATE_RUNNING) {
		running_too_long(a);
		return;
	}
	if (a->state == CUPEL__STATE__STATE_FINISHING && a->log &&
	    clock_boot_ms() - a->progress_at_ms < (int64_t)o->prepare_ms) {
		set(a, &a->deadline, a->progress_at_ms + (int64_t)o->prepare_ms);
		return; /* its log still comes in */
	}
	stop(a, "it took too long");
	if (a->state == CUPEL__STATE__STATE_ASSIGNED) {
		units_format_time(o->accept_ms, time, sizeof(time));
		(void)life_end(a, CUPEL__VERDICT__VERDICT_ERRORED, true, NULL,
			       "%s did not accept it within %s", a->runner->name, time);
		return;
	}
	units_format_time(o->prepare_ms, time, sizeof(time));
	(void)life_end(a, CUPEL__VERDICT__VERDICT_ERRORED, true, NULL,
		       "%s took longer than %s on %s",
		       a->state == CUPEL__STATE__STATE_PREPARING ? "preparing it" : "finishing it",
		       time, a->runner->name); /* live, as above */
}

static void idle_expired(void *context)
{
	struct attempt *a = context;
	int64_t limit = (int64_t)(a->idle_ms + a->dispatcher->options.deadline_slack_ms);
	char time[32];

	if (runner_away(a, &a->idle))
		return;
	if (clock_boot_ms() - a->progress_at_ms < limit) {
		set(a, &a->idle, a->progress_at_ms + limit);
		return;
	}
	units_format_time(a->idle_ms, time, sizeof(time));
	stop(a, "no output");
	(void)life_end(a, CUPEL__VERDICT__VERDICT_TIMED_OUT, false, NULL,
		       "no output for longer than its idle limit of %s, and %s had not stopped it",
		       time, a->runner->name); /* live, as above */
}

/* --- its log and its result
 * ------------------------------------------------------------------------------- */

struct joblog *attempt_log(struct attempt *a)
{
	struct error err = {0};

	if (!a->log && joblog_get(a->dispatcher->logs, a->run, a->job, a->epoch, &a->log, &err) < 0)
		log_error("job %" PRIu64 ": %s", a->job, err.text);
	return a->log;
}

void attempt_ack_log(struct attempt *a)
{
	Cupel__LogAck m = CUPEL__LOG_ACK__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;

	which.job = a->job;
	which.epoch = a->epoch;
	m.attempt = &which;
	m.durable = a->log ? joblog_durable(a->log) : 0;
	m.credit = CREDIT;
	say(a->runner->session, FRAME_LOG_ACK, &m.base);
}

/* What is wrong between the log that the result speaks of and the one that is here; "" when
 * nothing. */
static void compare_log(struct attempt *a, char *out, size_t size)
{
	const Cupel__Result *r = a->result;
	uint64_t length = a->log ? joblog_length(a->log) : 0;
	uint8_t digest[DIGEST_SIZE];
	int failure = a->log ? joblog_failure(a->log) : 0;

	*out = '\0';
	if (failure)
		(void)snprintf(out, size, " (its log could not be stored whole: %s)",
			       strerror(-failure));
	else if (length != r->log_length)
		(void)snprintf(out, size,
			       " (its log has %" PRIu64 " bytes here, %" PRIu64 " were announced)",
			       length, r->log_length);
	else if (length && r->log_digest.len == DIGEST_SIZE && joblog_digest(a->log, digest) &&
		 memcmp(digest, r->log_digest.data, DIGEST_SIZE) != 0)
		(void)snprintf(out, size, " (its log was damaged on the way: the digests differ)");
}

static bool log_is_whole(const struct attempt *a)
{
	const struct joblog *log = a->log;

	if (!log)
		return a->result->log_length == 0;
	return joblog_failure(log) || (joblog_durable(log) == joblog_length(log) &&
				       joblog_length(log) >= a->result->log_length);
}

/* What a runner may not decide is an error of that runner. */
static Cupel__Verdict verdict_told(const Cupel__Result *r)
{
	switch (r->verdict) {
	case CUPEL__VERDICT__VERDICT_PASSED:
	case CUPEL__VERDICT__VERDICT_FAILED:
	case CUPEL__VERDICT__VERDICT_TIMED_OUT:
	case CUPEL__VERDICT__VERDICT_KILLED:
		return r->verdict;
	default:
		return CUPEL__VERDICT__VERDICT_ERRORED;
	}
}

void attempt_conclude(struct attempt *a)
{
	Cupel__ResultAck ack = CUPEL__RESULT_ACK__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;
	struct session *s = a->runner->session;
	Cupel__Result *r = a->result;
	Cupel__Verdict verdict = verdict_told(r);
	char note[200];

	if (!log_is_whole(a)) {
		if ((a->log ? joblog_length(a->log) : 0) < r->log_length)
			attempt_ack_log(a); /* so that it sends the rest */
		return;
	}
	compare_log(a, note, sizeof(note));
	which.job = a->job;
	which.epoch = a->epoch;
	ack.attempt = &which;
	a->result = NULL; /* ours now: ending the attempt may free it */
	(void)life_end(a, verdict, r->infrastructure || verdict != r->verdict, r, "%s%s", r->reason,
		       note); /* it was live */
	say(s, FRAME_RESULT_ACK, &ack.base);
	cupel__result__free_unpacked(r, NULL);
}
