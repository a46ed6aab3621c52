/* rig.h - a dispatcher and its peers in one process, over real unix sockets on one loop. */
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "dispatcher/dispatcher.h"
#include "proto/digest.h"
#include "proto/link.h"
#include "tests/unit/dispatcher/scratch.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/queue.h>

#define STATE(s)    CUPEL__STATE__STATE_##s
#define VERDICT(v)  CUPEL__VERDICT__VERDICT_##v
#define ROLE(r)     CUPEL__ROLE__ROLE_##r
#define COMMIT      "0123456789012345678901234567890123456789"
#define RIG_WAIT_MS 10000 /* for anything at all */

struct heard {
	uint8_t type;
	ProtobufCMessage *m; /* NULL of a log frame */
	struct log_head head;
	uint8_t *bytes;
	size_t length;
	TAILQ_ENTRY(heard) entry;
};

struct peer {
	struct link *link;
	bool closed;
	struct heard *last; /* what the last wait returned */
	TAILQ_HEAD(, heard) heard;
};

/* A header of helpers: no test uses all of them. */
#pragma GCC diagnostic ignored "-Wunused-function"

static struct {
	struct event_base *base;
	struct dispatcher *dispatcher;
	struct dispatcher_options options;
	struct event *late;
	bool too_late;
} rig;

/* --- the dispatcher
 * --------------------------------------------------------------------------------------- */

static void rig_late(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	rig.too_late = true;
}

static void rig_start(void)
{
	struct error err = {0};

	if (dispatcher_new(rig.base, &rig.options, &rig.dispatcher, &err) < 0)
		fail_msg("%s", err.text);
}

/* The state stays on disk. */
static void rig_stop(void)
{
	dispatcher_free(rig.dispatcher);
	rig.dispatcher = NULL;
}

static int rig_setup(void **state)
{
	if (scratch_make(state) < 0)
		return -1;
	(void)signal(SIGPIPE, SIG_IGN); /* as the programs do */
	(void)setenv("CUPEL_LOG", "error", 0);
	log_open("test");
	rig.base = event_base_new();
	rig.late = evtimer_new(rig.base, rig_late, NULL);
	rig.too_late = false;
	rig.options = (struct dispatcher_options)DISPATCHER_OPTIONS;
	rig.options.state = scratch_path;
	rig_start();
	return 0;
}

static int rig_teardown(void **state)
{
	rig_stop();
	event_free(rig.late);
	event_base_free(rig.base);
	return scratch_remove(state);
}

/* One round of the loop; false once the deadline has passed. */
static bool rig_turn(void)
{
	const struct timeval limit = {RIG_WAIT_MS / 1000, 0};

	if (!evtimer_pending(rig.late, NULL))
		(void)evtimer_add(rig.late, &limit);
	(void)event_base_loop(rig.base, EVLOOP_ONCE);
	return !rig.too_late;
}

static void rig_in_time(void)
{
	(void)evtimer_del(rig.late);
	rig.too_late = false;
}

/* --- peers
 * ------------------------------------------------------------------------------------------------
 */

static void peer_frame(void *context, struct link *link, const struct frame *frame)
{
	struct peer *p = context;
	struct heard *h = calloc(1, sizeof(*h));
	const uint8_t *bytes;
	struct error err = {0};

	(void)link;
	h->type = frame->type;
	if (frame->type == FRAME_LOG) {
		assert_int_equal(
			log_head_parse(frame->payload, frame->length, &h->head, &bytes, &h->length),
			0);
		h->bytes = malloc(h->length + 1);
		memcpy(h->bytes, bytes, h->length);
	} else if (message_unpack(frame, &h->m, &err) < 0) {
		fail_msg("%s: %s", message_name(frame->type), err.text);
	}
	TAILQ_INSERT_TAIL(&p->heard, h, entry);
}

static void peer_closed(void *context, struct link *link, const char *reason)
{
	struct peer *p = context;

	(void)link;
	(void)reason;
	p->closed = true;
}

static void heard_free(struct heard *h)
{
	if (!h)
		return;
	if (h->m)
		message_free(h->m);
	free(h->bytes);
	free(h);
}

static struct peer *peer_dial(void)
{
	static const struct link_callbacks callbacks = {.frame = peer_frame, .closed = peer_closed};
	struct peer *p = calloc(1, sizeof(*p));
	struct link_address address = {0};
	struct error err = {0};

	TAILQ_INIT(&p->heard);
	(void)snprintf(address.path, sizeof(address.path), "%s/dispatcher.sock", scratch_path);
	if (link_dial(rig.base, &address, NULL, &callbacks, p, &p->link, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

static void peer_free(struct peer *p)
{
	while (!TAILQ_EMPTY(&p->heard)) {
		struct heard *h = TAILQ_FIRST(&p->heard);

		TAILQ_REMOVE(&p->heard, h, entry);
		heard_free(h);
	}
	heard_free(p->last);
	link_free(p->link);
	free(p);
}
OWNED(peer)

/* -EPIPE: the other side went away, which is heard in a moment. */
static void peer_send(struct peer *p, uint8_t type, const ProtobufCMessage *m)
{
	int rc = link_send(p->link, type, m);

	assert_true(rc == 0 || rc == -EPIPE);
}

/* A frame of that type that was heard already, or NULL. It is the peer's until the next call. */
static struct heard *peer_heard(struct peer *p, uint8_t type)
{
	struct heard *h;

	TAILQ_FOREACH(h, &p->heard, entry)
	if (h->type == type)
		break;
	if (!h)
		return NULL;
	TAILQ_REMOVE(&p->heard, h, entry);
	heard_free(p->last);
	return p->last = h;
}

/* Waits for it. */
static const void *peer_wait(struct peer *p, uint8_t type)
{
	struct heard *h;

	while (!(h = peer_heard(p, type))) {
		struct heard *error = type == FRAME_ERROR ? NULL : peer_heard(p, FRAME_ERROR);

		if (error)
			fail_msg("waiting for %s: %s", message_name(type),
				 ((Cupel__Error *)error->m)->text);
		if (p->closed || !rig_turn())
			fail_msg("no %s: %s", message_name(type),
				 p->closed ? "closed" : "too late");
	}
	rig_in_time();
	return type == FRAME_LOG ? (void *)h : (void *)h->m;
}

static void peer_wait_closed(struct peer *p)
{
	while (!p->closed)
		if (!rig_turn())
			fail_msg("the connection stayed open");
	rig_in_time();
}

static void hello(struct peer *p, Cupel__Role role, const char *name, Cupel__RunnerInfo *runner)
{
	Cupel__Hello m = CUPEL__HELLO__INIT;

	m.protocol_min = PROTOCOL_MIN;
	m.protocol_max = PROTOCOL_MAX;
	m.role = role;
	m.name = (char *)name;
	m.software = (char *)"test";
	m.runner = runner;
	peer_send(p, FRAME_HELLO, &m.base);
}

/* A welcomed peer that isn't a runner. */
static struct peer *client(Cupel__Role role)
{
	struct peer *p = peer_dial();

	hello(p, role, "somebody", NULL);
	(void)peer_wait(p, FRAME_WELCOME);
	return p;
}

/* --- runners
 * ---------------------------------------------------------------------------------------------- */

struct hand { /* what a runner says it holds */
	uint64_t job;
	uint32_t epoch;
	Cupel__State state;
	uint64_t log_length;
	bool ended;
};

/* Says hello; `life` fills the incarnation. */
static void runner_hello(struct peer *p, const char *name, uint8_t life, unsigned slots,
			 const struct hand *hands, size_t count)
{
	Cupel__RunnerInfo info = CUPEL__RUNNER_INFO__INIT;
	Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;
	Cupel__Attempt which[16];
	Cupel__Held held[16], *list[16];
	uint8_t incarnation[16];

	memset(incarnation, life, sizeof(incarnation));
	capacity.slots = slots;
	capacity.memory = (uint64_t)1 << 30;
	info.capacity = &capacity;
	info.incarnation.data = incarnation;
	info.incarnation.len = sizeof(incarnation);
	for (size_t i = 0; i < count; i++) {
		cupel__attempt__init(&which[i]);
		cupel__held__init(&held[i]);
		which[i].job = hands[i].job;
		which[i].epoch = hands[i].epoch;
		held[i].attempt = &which[i];
		held[i].state = hands[i].state;
		held[i].log_length = hands[i].log_length;
		held[i].ended = hands[i].ended;
		list[i] = &held[i];
	}
	info.n_held = count;
	info.held = list;
	hello(p, ROLE(RUNNER), name, &info);
}

static struct peer *runner(const char *name, uint8_t life, unsigned slots)
{
	struct peer *p = peer_dial();

	runner_hello(p, name, life, slots, NULL, 0);
	(void)peer_wait(p, FRAME_WELCOME);
	return p;
}

static Cupel__Attempt attempt_of(uint64_t job, uint32_t epoch)
{
	Cupel__Attempt a = CUPEL__ATTEMPT__INIT;

	a.job = job;
	a.epoch = epoch;
	return a;
}

static void send_accept(struct peer *p, uint64_t job, uint32_t epoch, uint64_t wall_ms,
			uint64_t idle_ms)
{
	Cupel__Attempt which = attempt_of(job, epoch);
	Cupel__Limits granted = CUPEL__LIMITS__INIT;
	Cupel__Accept m = CUPEL__ACCEPT__INIT;

	granted.wall_ms = wall_ms;
	granted.idle_ms = idle_ms;
	m.attempt = &which;
	m.granted = &granted;
	peer_send(p, FRAME_ACCEPT, &m.base);
}

static void send_phase(struct peer *p, uint64_t job, uint32_t epoch, Cupel__State state)
{
	Cupel__Attempt which = attempt_of(job, epoch);
	Cupel__Phase m = CUPEL__PHASE__INIT;

	m.attempt = &which;
	m.state = state;
	peer_send(p, FRAME_PHASE, &m.base);
}

static void send_released(struct peer *p, uint64_t job, uint32_t epoch)
{
	Cupel__Attempt which = attempt_of(job, epoch);
	Cupel__Released m = CUPEL__RELEASED__INIT;

	m.attempt = &which;
	peer_send(p, FRAME_RELEASED, &m.base);
}

static void send_log(struct peer *p, uint64_t job, uint32_t epoch, uint64_t offset,
		     const char *bytes, size_t length)
{
	const struct log_head head = {job, epoch, offset};
	uint8_t packed[LOG_HEAD];
	int rc;

	log_head_write(&head, packed);
	rc = link_send_raw(p->link, FRAME_LOG, packed, sizeof(packed), bytes, length);

	assert_true(rc == 0 || rc == -EPIPE);
}

/* A result with the digest of `log`. */
static void send_result(struct peer *p, uint64_t job, uint32_t epoch, Cupel__Verdict verdict,
			bool infrastructure, const char *log)
{
	Cupel__Attempt which = attempt_of(job, epoch);
	Cupel__Result m = CUPEL__RESULT__INIT;
	owned(digest) *d = digest_new();
	uint8_t digest[DIGEST_SIZE];

	assert_int_equal(digest_add(d, log, strlen(log)), 0);
	assert_int_equal(digest_get(d, digest), 0);
	m.attempt = &which;
	m.verdict = verdict;
	m.reason = (char *)"as told by the runner";
	m.infrastructure = infrastructure;
	m.exit_code = verdict == VERDICT(PASSED) ? 0 : 1;
	m.log_length = strlen(log);
	m.log_digest.data = digest;
	m.log_digest.len = sizeof(digest);
	peer_send(p, FRAME_RESULT, &m.base);
}

struct job_wish {
	const char *name;
	const char *needs;
	const char *retry; /* a verdict that is retried once */
	uint64_t memory, wall_ms, output;
};

static void send_plan(struct peer *p, uint64_t job, uint32_t epoch, const struct job_wish *wishes,
		      size_t count)
{
	Cupel__Attempt which = attempt_of(job, epoch);
	Cupel__Plan m = CUPEL__PLAN__INIT;
	Cupel__JobSpec spec[8], *list[8];
	Cupel__JobSpec__RetryEntry retry[8], *retries[8];
	Cupel__Limits limits[8];
	char *needs[8];

	for (size_t i = 0; i < count; i++) {
		cupel__job_spec__init(&spec[i]);
		cupel__limits__init(&limits[i]);
		limits[i].memory = wishes[i].memory;
		limits[i].wall_ms = wishes[i].wall_ms;
		limits[i].output = wishes[i].output;
		spec[i].limits = &limits[i];
		cupel__job_spec__retry_entry__init(&retry[i]);
		spec[i].name = (char *)wishes[i].name;
		spec[i].run = (char *)"true";
		spec[i].network = (char *)"none";
		spec[i].profile = (char *)"ci";
		needs[i] = (char *)wishes[i].needs;
		spec[i].needs = &needs[i];
		spec[i].n_needs = wishes[i].needs != NULL;
		retry[i].key = (char *)wishes[i].retry;
		retry[i].value = 1;
		retries[i] = &retry[i];
		spec[i].retry = &retries[i];
		spec[i].n_retry = wishes[i].retry != NULL;
		list[i] = &spec[i];
	}
	m.attempt = &which;
	m.commit = (char *)COMMIT;
	m.subject = (char *)"subject";
	m.author = (char *)"author";
	m.n_jobs = count;
	m.jobs = list;
	peer_send(p, FRAME_PLAN, &m.base);
}

/* --- stories
 * ---------------------------------------------------------------------------------------------- */

static uint64_t submit(struct peer *c)
{
	Cupel__Submit m = CUPEL__SUBMIT__INIT;

	m.repository = (char *)"/repo";
	m.name = (char *)"repo";
	m.revision = (char *)"HEAD";
	peer_send(c, FRAME_SUBMIT, &m.base);
	return ((const Cupel__Submitted *)peer_wait(c, FRAME_SUBMITTED))->run;
}

/* All that the peer has said so far has been dealt with and is on disk. */
static void settle(struct peer *p)
{
	Cupel__Ping m = CUPEL__PING__INIT;

	m.cookie = 42;
	peer_send(p, FRAME_PING, &m.base);
	assert_int_equal(((const Cupel__Ping *)peer_wait(p, FRAME_PONG))->cookie, 42);
}

/* The next assignment of this runner, accepted. */
static struct hand take(struct peer *r)
{
	const Cupel__Assign *a = peer_wait(r, FRAME_ASSIGN);
	struct hand h = {a->attempt->job, a->attempt->epoch, STATE(PREPARING), 0, false};

	send_accept(r, h.job, h.epoch, 0, 0);
	settle(r);
	return h;
}

/* Plans the next run as these jobs. */
static void plan(struct peer *r, const struct job_wish *wishes, size_t count)
{
	struct hand h = take(r);

	send_plan(r, h.job, h.epoch, wishes, count);
	(void)peer_wait(r, FRAME_RESULT_ACK);
	send_released(r, h.job, h.epoch);
}

/* Submits a run of one job "test"; the runner plans it. */
static uint64_t one_job(struct peer *c, struct peer *r)
{
	const struct job_wish wish = {.name = "test"};
	uint64_t run = submit(c);

	plan(r, &wish, 1);
	return run;
}

/* Ends what the runner holds and waits for the acknowledgement. True: it counts. */
static bool finish(struct peer *r, struct hand h, Cupel__Verdict verdict)
{
	bool stale;

	send_result(r, h.job, h.epoch, verdict, false, "");
	stale = ((const Cupel__ResultAck *)peer_wait(r, FRAME_RESULT_ACK))->stale;
	send_released(r, h.job, h.epoch);
	return !stale;
}

/* The run as it is now; the client's until its next wait. */
static const Cupel__Run *get(struct peer *c, uint64_t run)
{
	Cupel__RunRequest m = CUPEL__RUN_REQUEST__INIT;

	m.run = run;
	peer_send(c, FRAME_GET, &m.base);
	return peer_wait(c, FRAME_RUN);
}

/* Watches it until it has a verdict. */
static const Cupel__Run *wait_run(struct peer *c, uint64_t run)
{
	Cupel__RunRequest m = CUPEL__RUN_REQUEST__INIT;
	const Cupel__Run *r;

	m.run = run;
	peer_send(c, FRAME_WATCH, &m.base);
	do
		r = peer_wait(c, FRAME_RUN);
	while (!r->verdict);
	return r;
}

static const Cupel__Job *job_named(const Cupel__Run *run, const char *name)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->name, name) == 0 && run->jobs[i]->kind == 0)
			return run->jobs[i];
	fail_msg("run %" PRIu64 " has no job %s", run->id, name);
	return NULL;
}
