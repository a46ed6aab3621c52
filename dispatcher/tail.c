#include "dispatcher/inside.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Somebody who reads a log, perhaps while it grows. What it has not read yet stays in the file: a
 * chunk is read when the line has room, so that a thousand slow readers hold a thousand small
 * queues and nothing more. */
struct tail {
	struct session *session;
	struct joblog *log; /* NULL: the job has no attempt yet */
	uint64_t job;
	uint32_t epoch;
	uint64_t offset;
	bool follow;
	TAILQ_ENTRY(tail) of_session;
	TAILQ_ENTRY(tail) of_log; /* or of the early ones */
};

#define CHUNK     ((size_t)32 << 10)
#define QUEUE_MAX CHUNK /* on one line; the link tells when it falls below */
#define TAILS_MAX 64    /* of one session */

static void tail_free(struct tail *t)
{
	TAILQ_REMOVE(&t->session->tails, t, of_session);
	TAILQ_REMOVE(t->log ? joblog_tails(t->log) : &t->session->d->early_tails, t, of_log);
	joblog_put(t->log);
	free(t);
}

static void end(struct tail *t)
{
	Cupel__TailEnd m = CUPEL__TAIL_END__INIT;
	Cupel__Attempt which = CUPEL__ATTEMPT__INIT;
	owned_str *reason = NULL;
	struct attempt_row row;

	which.job = t->job;
	which.epoch = t->epoch;
	m.attempt = &which;
	m.length = t->offset;
	if (store_attempt(t->session->d->store, t->job, t->epoch, &row) == 0) {
		m.verdict = row.verdict;
		reason = store_attempt_reason(t->session->d->store, t->job, t->epoch);
		if (reason)
			m.reason = reason;
	}
	say(t->session, FRAME_TAIL_END, &m.base);
	tail_free(t);
}

static void send_chunk(struct tail *t, const uint8_t *bytes, size_t length)
{
	const struct log_head head = {t->job, t->epoch, t->offset};
	uint8_t packed[LOG_HEAD];

	log_head_write(&head, packed);
	(void)link_send_raw(t->session->link, FRAME_LOG, packed, sizeof(packed), bytes,
			    length); /* a link that is over tells so by itself */
	t->offset += length;
}

/* As much as the line takes. The tail may be gone afterwards. */
static void pump(struct tail *t)
{
	static uint8_t chunk[CHUNK];

	while (link_queued(t->session->link) < QUEUE_MAX) {
		ssize_t n = joblog_read(t->log, t->offset, chunk, sizeof(chunk));

		if (n > 0) {
			send_chunk(t, chunk, (size_t)n);
			continue;
		}
		if (n < 0)
			log_error("read the log of job %" PRIu64 ": %s", t->job, strerror((int)-n));
		if (n < 0 || !t->follow || joblog_finished(t->log))
			end(t);
		return;
	}
}

void tail_grown(struct dispatcher *d, struct joblog *log)
{
	struct tail *t, *next;

	(void)d;
	for (t = TAILQ_FIRST(joblog_tails(log)); t; t = next) {
		next = TAILQ_NEXT(t, of_log);
		pump(t);
	}
}

/* Opens the log that it wants; false: the session was told why not and the tail is gone. */
static bool attach(struct tail *t, const struct attempt_row *row)
{
	struct session *s = t->session;
	struct joblog *log;
	struct error err = {0};

	if (joblog_get(s->d->logs, row->run, row->job, row->epoch, &log, &err) < 0) {
		say_error(s, err.code, "%s", err.text);
		tail_free(t);
		return false;
	}
	TAILQ_REMOVE(&s->d->early_tails, t, of_log);
	t->log = log;
	t->epoch = row->epoch;
	TAILQ_INSERT_TAIL(joblog_tails(log), t, of_log);
	if (row->state == CUPEL__STATE__STATE_ENDED)
		joblog_finish(log);
	return true;
}

static struct tail *tail_new(struct session *s, uint64_t job, const Cupel__Tail *w)
{
	struct tail *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->session = s;
	t->job = job;
	t->offset = w->offset;
	t->follow = w->follow;
	link_set_low(s->link, QUEUE_MAX);
	TAILQ_INSERT_TAIL(&s->tails, t, of_session);
	TAILQ_INSERT_TAIL(&s->d->early_tails, t, of_log);
	return t;
}

static bool wanted_job(struct session *s, const Cupel__Tail *w, struct job_row *out)
{
	uint64_t job = w->job ? w->job : store_job_named(s->d->store, w->run, w->name);

	if (job && store_job(s->d->store, job, out) == 0)
		return true;
	if (w->job)
		say_error(s, ENOENT, "there is no job %" PRIu64, w->job);
	else if (*w->name)
		say_error(s, ENOENT, "run %" PRIu64 " has no job %s", w->run, w->name);
	else
		say_error(s, ENOENT,
			  "there is no run %" PRIu64 ", or it has several jobs: name one", w->run);
	return false;
}

static bool has_room(struct session *s)
{
	size_t count = 0;
	struct tail *t;

	TAILQ_FOREACH(t, &s->tails, of_session)
	count++;
	if (count >= TAILS_MAX)
		say_error(s, EMFILE, "too many logs are read on one connection");
	return count < TAILS_MAX;
}

void on_tail(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Tail *w = (const Cupel__Tail *)*m;
	struct attempt_row row;
	struct job_row job;
	uint32_t epoch;
	struct tail *t;

	if (!has_room(s) || !wanted_job(s, w, &job))
		return;
	epoch = w->epoch ? w->epoch : job.epoch;
	/* A queued job's newest attempt is over; who follows waits for the next one. */
	if (!w->epoch && w->follow && job.state < CUPEL__STATE__STATE_ASSIGNED)
		epoch = 0;
	if (epoch ? store_attempt(s->d->store, job.id, epoch, &row) < 0
		  : !w->follow || job.state == CUPEL__STATE__STATE_ENDED) {
		say_error(s, ENOENT, "job %" PRIu64 " (%s) has no such attempt%s", job.id, job.name,
			  job.epoch ? "" : "; none was made yet");
		return;
	}
	t = tail_new(s, job.id, w);
	if (!t) {
		say_error(s, ENOMEM, "the dispatcher is out of memory");
		return;
	}
	if (epoch && attach(t, &row))
		pump(t);
}

void tail_assigned(struct dispatcher *d, const struct attempt *a)
{
	const struct attempt_row row = {
		.job = a->job, .run = a->run, .epoch = a->epoch, .state = a->state};
	struct tail *t, *next;

	for (t = TAILQ_FIRST(&d->early_tails); t; t = next) {
		next = TAILQ_NEXT(t, of_log);
		if (t->job == a->job && attach(t, &row))
			pump(t);
	}
}

void tail_job_ended(struct dispatcher *d, uint64_t job)
{
	struct tail *t, *next;

	for (t = TAILQ_FIRST(&d->early_tails); t; t = next) {
		next = TAILQ_NEXT(t, of_log);
		if (t->job != job)
			continue;
		say_error(t->session, ENOENT, "job %" PRIu64 " ended without an attempt", job);
		tail_free(t);
	}
}

void tail_drained(struct session *s)
{
	struct tail *t, *next;

	for (t = TAILQ_FIRST(&s->tails); t; t = next) {
		next = TAILQ_NEXT(t, of_session);
		if (t->log)
			pump(t);
	}
}

void tail_stop(struct session *s)
{
	while (!TAILQ_EMPTY(&s->tails))
		tail_free(TAILQ_FIRST(&s->tails));
}
