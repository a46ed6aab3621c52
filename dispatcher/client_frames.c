#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* --- new runs
 * --------------------------------------------------------------------------------------------- */

void on_event(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Event *e = (const Cupel__Event *)*m;
	const struct run_new r = {SOURCE_EVENT,   e->repository, *e->name ? e->name : e->repository,
				  e->ref,         e->commit,     e->commit,
				  e->subject,     e->author,     NULL,
				  clock_wall_ms()};
	Cupel__EventAck ack = CUPEL__EVENT_ACK__INIT;
	struct error err = {0};
	bool known;

	if (!room_for_more(s->d, &err)) {
		session_dismiss(s, err.code, "%s",
				err.text); /* it keeps the event and comes back */
		return;
	}
	if (life_run_new(s->d, &r, &ack.run, &known) < 0)
		return; /* the commit fails and tells */
	ack.sequence = e->sequence;
	ack.known = known;
	say(s, FRAME_EVENT_ACK, &ack.base);
}

void on_submit(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Submit *w = (const Cupel__Submit *)*m;
	const struct run_new r = {SOURCE_SUBMIT,
				  w->repository,
				  *w->name ? w->name : w->repository,
				  w->ref,
				  w->revision,
				  "",
				  "",
				  "",
				  w->delivery,
				  clock_wall_ms()};
	Cupel__Submitted answer = CUPEL__SUBMITTED__INIT;
	struct error err = {0};
	bool known;

	if (!room_for_more(s->d, &err)) {
		say_error(s, err.code, "%s", err.text);
		return;
	}
	if (life_run_new(s->d, &r, &answer.run, &known) < 0)
		return; /* the commit fails and tells */
	say(s, FRAME_SUBMITTED, &answer.base);
}

/* --- looking
 * ---------------------------------------------------------------------------------------------- */

void on_get(struct session *s, ProtobufCMessage **m)
{
	uint64_t id = ((const Cupel__RunRequest *)*m)->run;
	Cupel__Run *run = run_shown(s->d, id);

	if (!run) {
		say_error(s, ENOENT, "there is no run %" PRIu64, id);
		return;
	}
	say(s, FRAME_RUN, &run->base);
	cupel__run__free_unpacked(run, NULL);
}

void on_list(struct session *s, ProtobufCMessage **m)
{
	Cupel__Runs *runs = store_list(s->d->store, (const Cupel__List *)*m);

	if (!runs) {
		say_error(s, ENOMEM, "the dispatcher is out of memory");
		return;
	}
	for (size_t i = 0; i < runs->n_runs; i++)
		runs->runs[i]->took_ms =
			store_run_took(s->d->store, runs->runs[i]->id, clock_wall_ms());
	say(s, FRAME_RUNS, &runs->base);
	cupel__runs__free_unpacked(runs, NULL);
}

static void why_job(const Cupel__Job *j, struct buffer *out)
{
	if (j->state == CUPEL__STATE__STATE_ENDED) {
		(void)buffer_printf(out, "%s: %s%s: %s", j->name, verdict_word(j->verdict),
				    j->flaky ? " (flaky)" : "", j->reason);
		return;
	}
	(void)buffer_printf(out, "%s: %s", j->name, state_word(j->state));
	if (*j->waits_for)
		(void)buffer_printf(out, ": %s", j->waits_for);
	else if (j->n_attempts)
		(void)buffer_printf(out, " on %s", j->attempts[j->n_attempts - 1]->runner);
}

static void why_attempts(const Cupel__Job *j, struct buffer *out)
{
	for (size_t i = 0; i < j->n_attempts; i++) {
		const Cupel__AttemptInfo *a = j->attempts[i];

		if (a->state != CUPEL__STATE__STATE_ENDED ||
		    (j->n_attempts == 1 && !*a->late_result))
			continue;
		(void)buffer_printf(out, "\n  attempt %u on %s: %s: %s", a->epoch, a->runner,
				    verdict_word(a->verdict), a->reason);
		if (*a->late_result)
			(void)buffer_printf(out, " (later it said: %s)", a->late_result);
	}
}

#define EXPLAIN_MAX ((size_t)768 << 10) /* bytes: the answer is one frame */

/* One line a job, and one for each of its attempts when there were several. */
static void explain(struct session *s, const Cupel__Run *run, const char *only)
{
	Cupel__Explanation m = CUPEL__EXPLANATION__INIT;
	owned_buffer text = {.max = EXPLAIN_MAX};
	size_t count = 0;
	char **lines;

	for (size_t i = 0; i < run->n_jobs; i++) {
		const Cupel__Job *j = run->jobs[i];

		if (*only ? strcmp(only, j->name) != 0
			  : (j->kind == CUPEL__KIND__KIND_PLAN && run->n_jobs > 1))
			continue;
		if (text.length)
			(void)buffer_append(&text, "\n", 1); /* without memory it says less */
		why_job(j, &text);
		why_attempts(j, &text);
	}
	for (size_t i = 0; i < text.length; i++)
		count += text.data[i] == '\n';
	lines = calloc(count + 1, sizeof(*lines));
	for (char *at = text.data; lines && at; m.n_lines++) {
		lines[m.n_lines] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
	}
	m.lines = lines;
	say(s, FRAME_EXPLANATION, &m.base);
	free(lines);
}

void on_why(struct session *s, ProtobufCMessage **m)
{
	const Cupel__RunRequest *w = (const Cupel__RunRequest *)*m;
	Cupel__Run *run = run_shown(s->d, w->run);

	if (!run) {
		say_error(s, ENOENT, "there is no run %" PRIu64, w->run);
		return;
	}
	explain(s, run, w->job);
	cupel__run__free_unpacked(run, NULL);
}
