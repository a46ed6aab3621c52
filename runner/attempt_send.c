#include "runner/runner_inside.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes that may wait in the link: enough to keep it busy, little enough that heartbeats get
 * through. */
#define QUEUE_MAX ((size_t)1 << 20)

static struct link *link_of(const struct attempt *a)
{
	return a->runner->dial ? dial_link(a->runner->dial) : NULL;
}

void attempt_send_phase(struct attempt *a)
{
	struct link *link = link_of(a);
	Cupel__Phase m = CUPEL__PHASE__INIT;

	m.attempt = a->ticket.assign->attempt;
	m.state = a->state;
	if (link && !attempt_is_plan(a) && !a->acked)
		(void)link_send(link, FRAME_PHASE, &m.base); /* heartbeats say it again */
}

/* One frame of the log; false when none is due, or none can be had. */
static bool send_chunk(struct attempt *a, struct link *link, char *chunk)
{
	size_t want = window_next(&a->window, LOG_BYTES_MAX);
	const Cupel__Attempt *id = a->ticket.assign->attempt;
	const struct log_head head = {id->job, id->epoch, a->window.sent};
	uint8_t packed[LOG_HEAD];
	ssize_t n;

	if (!want || link_queued(link) > QUEUE_MAX)
		return false;
	n = pread(a->log, chunk, want, (off_t)a->window.sent);
	if (n <= 0) {
		log_error("%s: its log can't be read", a->name);
		return false;
	}
	log_head_write(&head, packed);
	if (link_send_raw(link, FRAME_LOG, packed, sizeof(packed), chunk, (size_t)n) < 0)
		return false; /* the link is over; the next one goes on */
	window_sent(&a->window, (size_t)n);
	return true;
}

static void send_log(struct attempt *a, struct link *link)
{
	static char chunk[LOG_BYTES_MAX];

	while (!a->acked && a->log >= 0 && send_chunk(a, link, chunk))
		;
}

static void send_answer(struct attempt *a, struct link *link)
{
	if (!a->answer.message || a->answer_sent || a->acked)
		return;
	if (!window_all_sent(&a->window) && !a->stopped)
		return; /* the log first: then it can be acknowledged at once */
	a->answer_sent = link_send(link, a->answer.type, a->answer.message) == 0;
}

static void send_released(struct attempt *a, struct link *link)
{
	Cupel__Released m = CUPEL__RELEASED__INIT;

	m.attempt = a->ticket.assign->attempt;
	if (a->released && !a->released_told)
		a->released_told = link_send(link, FRAME_RELEASED, &m.base) == 0;
}

void attempt_send(struct attempt *a)
{
	struct link *link = link_of(a);

	if (link) {
		send_log(a, link);
		send_answer(a, link);
		send_released(a, link);
	}
	if (a->acked && a->released && a->control < 0 && (a->released_told || !link))
		attempt_end(a);
}

void attempt_send_all(struct runner *r)
{
	struct attempt *a, *next, *first = TAILQ_FIRST(&r->attempts);

	for (a = first; a; a = next) {
		next = TAILQ_NEXT(a, entry);
		attempt_send(a);
	}
	first = TAILQ_FIRST(&r->attempts);
	if (!first)
		return;
	TAILQ_REMOVE(&r->attempts, first, entry); /* so that another's log goes first next time */
	TAILQ_INSERT_TAIL(&r->attempts, first, entry);
}

void attempt_connected(struct attempt *a, uint64_t durable)
{
	window_reset(&a->window, durable);
	a->answer_sent = a->released_told = false;
	a->revoked = 0;
	attempt_send(a);
}
