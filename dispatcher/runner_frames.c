#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Its runner says that the job still writes. Once it has finished that counts no more, but only
 * what of its log arrives. */
static void wrote(struct attempt *a)
{
	if (a->state != CUPEL__STATE__STATE_FINISHING)
		a->progress_at_ms = clock_boot_ms();
}

/* --- hello
 * ------------------------------------------------------------------------------------------------
 */

static bool is_named(const Cupel__RunnerInfo *info, const struct attempt *a)
{
	for (size_t i = 0; i < info->n_held; i++)
		if (info->held[i]->attempt->job == a->job &&
		    info->held[i]->attempt->epoch == a->epoch)
			return true;
	return false;
}

/* What was on its books and isn't in its hands: lost, unless it never got there. */
static void settle_books(struct runner *r, const Cupel__RunnerInfo *info, bool reborn)
{
	struct attempt *a, *next;

	for (a = TAILQ_FIRST(&r->attempts); a; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (is_named(info, a))
			continue;
		if (a->over) {
			attempt_free(a);
			continue;
		}
		attempt_released(a); /* so that its end lets go of it */
		if (!reborn && a->state == CUPEL__STATE__STATE_ASSIGNED && !a->arrived)
			(void)life_end(a, CUPEL__VERDICT__VERDICT_DECLINED, false, NULL,
				       "the assignment did not reach %s",
				       r->name); /* it was live */
		else
			(void)life_end(a, CUPEL__VERDICT__VERDICT_LOST, false, NULL,
				       reborn ? "%s was started anew and does not hold it any more"
					      : "%s came back and does not hold it any more",
				       r->name); /* it was live */
	}
}

/* A held attempt that is over here: only its slot is in use, until it is released. */
static void answer_over(struct runner *r, const Cupel__Held *held, Cupel__HeldAnswer *out)
{
	struct dispatcher *d = r->session->d;
	struct attempt *ghost = attempt_find(d, held->attempt->job, held->attempt->epoch);
	struct attempt_row row;

	out->proceed = false;
	if (store_attempt(d->store, held->attempt->job, held->attempt->epoch, &row) < 0 ||
	    strcmp(row.runner, r->name) != 0) {
		out->reason = (char *)"no such attempt was given to it";
		return;
	}
	out->reason = (char *)"it is over";
	if (!ghost)
		ghost = attempt_new(d, r, row.job, row.run, row.epoch, row.kind, row.name);
	if (ghost)
		ghost->over = ghost->arrived = true;
	if (!held->ended || row.answered)
		return;
	/* Its result is history, but kept; of its log nothing more is asked for. */
	out->proceed = true;
	out->log_durable = held->log_length;
}

static void answer_held(struct runner *r, const Cupel__Held *held, Cupel__HeldAnswer *out)
{
	struct attempt *a = attempt_find(r->session->d, held->attempt->job, held->attempt->epoch);

	cupel__held_answer__init(out);
	out->attempt = held->attempt;
	if (!a || a->over || a->runner != r) {
		answer_over(r, held, out);
		return;
	}
	a->arrived = true;
	a->spooled = held->log_length;
	attempt_renew(a);
	life_phase(a, held->state, NULL);
	if (a->state == CUPEL__STATE__STATE_ASSIGNED)
		life_phase(a, CUPEL__STATE__STATE_PREPARING,
			   NULL); /* it has accepted what it holds */
	wrote(a);                 /* what it wrote meanwhile is on its way */
	out->proceed = true;
	out->log_durable = a->log ? joblog_durable(a->log) : 0;
}

static void welcome_runner(struct session *s, const Cupel__RunnerInfo *info)
{
	const struct dispatcher_options *o = &s->d->options;
	Cupel__HeldAnswer *answers = calloc(info->n_held + 1, sizeof(*answers));
	Cupel__HeldAnswer **list = calloc(info->n_held + 1, sizeof(*list));
	Cupel__Welcome m = CUPEL__WELCOME__INIT;

	if (!answers || !list) {
		session_dismiss(s, ENOMEM, "the dispatcher is out of memory");
	} else {
		for (size_t i = 0; i < info->n_held; i++) {
			answer_held(s->runner, info->held[i], &answers[i]);
			list[i] = &answers[i];
		}
		m.protocol = PROTOCOL_MAX;
		m.software = s->d->software;
		m.heartbeat_ms = o->heartbeat_ms;
		m.lease_ms = o->lease_ms;
		m.n_held = info->n_held;
		m.held = list;
		say(s, FRAME_WELCOME, &m.base);
	}
	free(list);
	free(answers);
}

static int remember(struct session *s, const Cupel__Hello *hello, struct runner *r)
{
	struct runner_row row = {.name = r->name,
				 .software = hello->software,
				 .incarnation = hello->runner->incarnation.data,
				 .info = hello->runner,
				 .seen_at_ms = clock_wall_ms()};
	int rc = runner_describe(&s->d->runners, r, hello->software, hello->runner);

	r->seen_at_ms = row.seen_at_ms;
	return rc < 0 ? rc : store_runner_put(s->d->store, &row);
}

void on_runner_hello(struct session *s, const Cupel__Hello *hello)
{
	struct dispatcher *d = s->d;
	const Cupel__RunnerInfo *info = hello->runner;
	struct runner *r = runners_find(&d->runners, hello->name);
	const Cupel__Drain drain = CUPEL__DRAIN__INIT;
	bool reborn;

	if (!info || info->incarnation.len != 16 || !info->capacity) {
		session_dismiss(s, EBADMSG, "a runner's hello needs its incarnation and capacity");
		return;
	}
	if (!r)
		r = runners_add(&d->runners, hello->name);
	if (!r || remember(s, hello, r) < 0) {
		session_dismiss(s, ENOMEM, "the dispatcher could not take it up");
		return;
	}
	reborn = memcmp(r->incarnation, info->incarnation.data, 16) != 0;
	memcpy(r->incarnation, info->incarnation.data, 16);
	if (r->session)
		session_dismiss(r->session, EEXIST,
				"another connection as runner %s has come; names must differ",
				r->name);
	r->session = s;
	s->runner = r;
	free(r->pressure);
	r->pressure = NULL;
	queue_reopen(&d->queue, r, true);
	welcome_runner(s, info);
	if (r->draining)
		say(s, FRAME_DRAIN, &drain.base);
	settle_books(r, info, reborn);
	runner_update(&d->runners, r);
	d->runners.generation++;
	log_info("runner %s is here (%u slots)", r->name, info->capacity->slots);
}

void on_runner_gone(struct session *s)
{
	struct runner *r = s->runner;

	s->runner = NULL;
	r->session = NULL;
	r->seen_at_ms = clock_wall_ms();
	runner_update(&s->d->runners, r);
	s->d->runners.generation++;
	log_info("runner %s is gone", r->name);
}

/* --- attempts
 * --------------------------------------------------------------------------------------------- */

/* The attempt, if it is on this runner's books. Otherwise it is either long over (fine, NULL), or a
 * runner that meddles with what was never its own (said and logged, NULL). */
static struct attempt *of_this_runner(struct session *s, const Cupel__Attempt *which,
				      const char *what)
{
	struct attempt *a = attempt_find(s->d, which->job, which->epoch);
	struct attempt_row row;

	if (a && a->runner == s->runner)
		return a;
	if (store_attempt(s->d->store, which->job, which->epoch, &row) < 0 ||
	    strcmp(row.runner, s->runner->name) != 0)
		session_complain(s, EPERM,
				 "%s for attempt %u of job %" PRIu64 ", which is not its own", what,
				 which->epoch, which->job);
	return NULL;
}

void on_accept(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Accept *accept = (const Cupel__Accept *)*m;
	static const Cupel__Limits none = CUPEL__LIMITS__INIT;
	struct attempt *a = of_this_runner(s, accept->attempt, "an acceptance");

	if (a && !a->over)
		life_phase(a, CUPEL__STATE__STATE_PREPARING,
			   accept->granted ? accept->granted : &none);
}

void on_decline(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Decline *decline = (const Cupel__Decline *)*m;
	struct attempt *a = of_this_runner(s, decline->attempt, "a refusal");
	uint64_t job = decline->attempt->job;

	if (!a || a->over || a->state != CUPEL__STATE__STATE_ASSIGNED)
		return;
	attempt_declined(a); /* its end lets go of it */
	if (!life_end(a, CUPEL__VERDICT__VERDICT_DECLINED, false, NULL, "%s declined: %s",
		      s->runner->name, decline->reason))
		return;
	queue_declined(&s->d->queue, job, s->runner, decline->never, decline->reason,
		       clock_boot_ms());
}

void on_phase(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Phase *phase = (const Cupel__Phase *)*m;
	struct attempt *a = of_this_runner(s, phase->attempt, "a phase");

	if (a)
		life_phase(a, phase->state, NULL);
}

static void ack_result(struct session *s, Cupel__Attempt *which, bool stale)
{
	Cupel__ResultAck m = CUPEL__RESULT_ACK__INIT;

	m.attempt = which;
	m.stale = stale;
	say(s, FRAME_RESULT_ACK, &m.base);
}

/* A runner says back why it was to stop, as far as its record of orders holds it. */
static bool says_the_same(struct session *s, const struct attempt_row *row, const Cupel__Result *r)
{
	owned_str *reason = store_attempt_reason(s->d->store, row->job, row->epoch);

	return reason && r->verdict == row->verdict &&
	       strncmp(reason, r->reason, strlen(r->reason)) == 0;
}

/* It ended before: what the runner says is kept where that is something else, and doesn't count. */
static void late(struct session *s, const Cupel__Result *result)
{
	Cupel__Attempt *which = result->attempt;
	char text[MESSAGE_TEXT_MAX];
	struct attempt_row row;
	bool stale;

	if (store_attempt(s->d->store, which->job, which->epoch, &row) < 0 ||
	    strcmp(row.runner, s->runner->name) != 0)
		return;
	stale = !row.answered;
	(void)snprintf(text, sizeof(text), "%s: %s", verdict_word(result->verdict),
		       result->reason); /* cut when too long */
	if (stale && !says_the_same(s, &row, result))
		(void)store_attempt_late(s->d->store, which->job, which->epoch,
					 text); /* sticks when it fails */
	ack_result(s, which, stale);
}

void on_plan(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Plan *plan = (const Cupel__Plan *)*m;
	struct attempt *a = of_this_runner(s, plan->attempt, "a plan");

	if (a && !a->over && a->kind != CUPEL__KIND__KIND_PLAN) {
		session_complain(s, EPERM, "a plan for job %" PRIu64 ", which is none", a->job);
	} else if (a && !a->over) {
		life_plan(a, plan);
		ack_result(s, plan->attempt, false);
	} else {
		struct attempt_row row;

		/* Answered before and not heard, or over otherwise. */
		if (store_attempt(s->d->store, plan->attempt->job, plan->attempt->epoch, &row) ==
			    0 &&
		    strcmp(row.runner, s->runner->name) == 0)
			ack_result(s, plan->attempt, row.verdict != CUPEL__VERDICT__VERDICT_PASSED);
	}
}

void on_result(struct session *s, ProtobufCMessage **m)
{
	Cupel__Result *result = (Cupel__Result *)*m;
	struct attempt *a = of_this_runner(s, result->attempt, "a result");

	if (!a || a->over) {
		late(s, result);
		return;
	}
	if (a->kind == CUPEL__KIND__KIND_PLAN &&
	    result->verdict == CUPEL__VERDICT__VERDICT_PASSED) {
		session_complain(s, EPERM, "a plan that went well is answered by a plan");
		return;
	}
	if (a->result)
		cupel__result__free_unpacked(a->result, NULL);
	a->result = result;
	*m = NULL; /* kept */
	life_phase(a, CUPEL__STATE__STATE_FINISHING, NULL);
	attempt_conclude(a);
}

void on_released(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Released *released = (const Cupel__Released *)*m;
	struct attempt *a = of_this_runner(s, released->attempt, "a release");

	if (a)
		attempt_released(a);
	turn_wanted(s->d);
}

/* --- heartbeat
 * -------------------------------------------------------------------------------------------- */

static void take_progress(struct attempt *a, Cupel__Progress *p)
{
	a->unheard = false;
	if (a->over)
		return;
	attempt_renew(a);
	life_phase(a, p->state, NULL);
	if (p->log_length > a->spooled) {
		a->spooled = p->log_length;
		wrote(a);
	}
	if (!p->usage)
		return;
	if (a->usage)
		cupel__usage__free_unpacked(a->usage, NULL);
	a->usage = p->usage;
	p->usage = NULL;
}

/* A slot whose end we haven't heard of, twice: the runner doesn't know of it any more. */
static void forget_unheard(struct runner *r, const Cupel__Heartbeat *beat)
{
	struct attempt *a, *next;

	for (a = TAILQ_FIRST(&r->attempts); a; a = next) {
		bool named = false;

		next = TAILQ_NEXT(a, entry);
		if (!a->over)
			continue;
		for (size_t i = 0; i < beat->n_attempts && !named; i++)
			named = beat->attempts[i]->attempt->job == a->job &&
				beat->attempts[i]->attempt->epoch == a->epoch;
		if (!named && a->unheard)
			attempt_free(a);
		else
			a->unheard = !named;
	}
}

static void answer_heartbeat(struct session *s, const Cupel__Heartbeat *beat)
{
	Cupel__LeaseAnswer *answers = calloc(beat->n_attempts + 1, sizeof(*answers));
	Cupel__LeaseAnswer **list = calloc(beat->n_attempts + 1, sizeof(*list));
	Cupel__Lease m = CUPEL__LEASE__INIT;

	for (size_t i = 0; answers && list && i < beat->n_attempts; i++) {
		Cupel__Progress *p = beat->attempts[i];
		struct attempt *a = attempt_find(s->d, p->attempt->job, p->attempt->epoch);

		cupel__lease_answer__init(&answers[i]);
		list[i] = &answers[i];
		answers[i].attempt = p->attempt;
		if (a && a->runner == s->runner)
			take_progress(a, p);
		answers[i].renewed = a && a->runner == s->runner && !a->over;
		if (!answers[i].renewed)
			answers[i].reason = (char *)"it is over, or not its own";
	}
	m.n_attempts = beat->n_attempts;
	m.attempts = list;
	if (answers && list)
		say(s, FRAME_LEASE, &m.base);
	free(list);
	free(answers);
}

void on_heartbeat(struct session *s, ProtobufCMessage **m)
{
	Cupel__Heartbeat *beat = (Cupel__Heartbeat *)*m;
	struct runner *r = s->runner;

	answer_heartbeat(s, beat);
	forget_unheard(r, beat);
	r->seen_at_ms = clock_wall_ms();
	if (r->unused)
		cupel__capacity__free_unpacked(r->unused, NULL);
	r->unused = beat->unused;
	beat->unused = NULL;
	free(r->pressure);
	r->pressure = *beat->pressure ? strdup(beat->pressure) : NULL;
	runner_update(&s->d->runners, r);
	turn_wanted(s->d);
}

/* --- logs
 * -------------------------------------------------------------------------------------------------
 */

static void log_not_taken(struct session *s, struct attempt *a, int rc)
{
	if (!a->log_told)
		log_warning("job %" PRIu64 ": its log can't be stored: %s", a->job, strerror(-rc));
	a->log_refused = a->log_told = true;
	if (!event_pending(s->d->retry, EV_TIMEOUT, NULL))
		(void)event_add(s->d->retry,
				&s->d->log_retry); /* no memory: the next frame tries */
}

/* An honest job is stopped at its limit, and sends what had been read by then. */
#define LOG_SLACK ((uint64_t)1 << 20)

static void take_log(struct session *s, struct attempt *a, uint64_t offset, const uint8_t *bytes,
		     size_t length)
{
	uint64_t before = joblog_length(a->log);
	int rc = joblog_append(a->log, offset, bytes, length);

	if (joblog_length(a->log) > before)
		a->progress_at_ms = clock_boot_ms();
	if (rc == -ERANGE)
		attempt_ack_log(a); /* it goes back to what we have */
	else if (rc < 0)
		log_not_taken(s, a, rc);
	tail_grown(s->d, a->log);
	if (a->result)
		attempt_conclude(a);
}

void on_log(struct session *s, const struct frame *frame)
{
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;
	struct log_head head;
	struct attempt *a;
	const uint8_t *bytes;
	size_t length;

	if (log_head_parse(frame->payload, frame->length, &head, &bytes, &length) < 0) {
		session_complain(s, EBADMSG, "a log frame without its head");
		return;
	}
	which.job = head.job;
	which.epoch = head.epoch;
	a = of_this_runner(s, &which, "a log");
	if (!a || a->over || !attempt_log(a))
		return;
	if (head.offset + length > a->output + LOG_SLACK)
		session_complain(s, EFBIG,
				 "the log of job %" PRIu64 " goes beyond its output limit", a->job);
	else
		take_log(s, a, head.offset, bytes, length);
}
