#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/rig.h"

#include <malloc.h>

#define VIEWERS 200
#define SLOW    50 /* of them read nothing until all was written */
#define CHUNK   LOG_BYTES_MAX
#define CHUNKS  16

/* The log's content by offset, so that nobody has to keep it. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

struct viewer {
	struct link *link;
	uint64_t at;
	bool welcome, ended, wrong;
};

static void view(void *context, struct link *link, const struct frame *frame)
{
	struct viewer *v = context;
	struct log_head head;
	const uint8_t *bytes;
	size_t length;

	(void)link;
	v->welcome |= frame->type == FRAME_WELCOME;
	v->ended |= frame->type == FRAME_TAIL_END;
	v->wrong |= frame->type == FRAME_ERROR;
	if (frame->type != FRAME_LOG)
		return;
	v->wrong |= log_head_parse(frame->payload, frame->length, &head, &bytes, &length) < 0 ||
		    head.offset != v->at;
	for (size_t i = 0; i < length && !v->wrong; i++)
		v->wrong = bytes[i] != byte_at(v->at + i);
	v->at += length;
}

static void viewer_closed(void *context, struct link *link, const char *reason)
{
	struct viewer *v = context;

	(void)link;
	(void)reason;
	v->wrong = true;
}

static void start_viewer(struct viewer *v, uint64_t run)
{
	static const struct link_callbacks callbacks = {.frame = view, .closed = viewer_closed};
	struct link_address address = {0};
	Cupel__Hello hi = CUPEL__HELLO__INIT;
	Cupel__Tail tail = CUPEL__TAIL__INIT;

	(void)snprintf(address.path, sizeof(address.path), "%s/dispatcher.sock", scratch_path);
	assert_int_equal(link_dial(rig.base, &address, NULL, &callbacks, v, &v->link, NULL), 0);
	hi.protocol_min = PROTOCOL_MIN;
	hi.protocol_max = PROTOCOL_MAX;
	hi.role = ROLE(READER);
	hi.name = (char *)"viewer";
	assert_int_equal(link_send(v->link, FRAME_HELLO, &hi.base), 0);
	tail.run = run;
	tail.name = (char *)"test";
	tail.follow = true;
	assert_int_equal(link_send(v->link, FRAME_TAIL, &tail.base), 0);
}

static bool all(const struct viewer *v, size_t from, size_t to, uint64_t at)
{
	for (size_t i = from; i < to; i++) {
		assert_false(v[i].wrong);
		if (v[i].at < at || !v[i].welcome)
			return false;
	}
	return true;
}

static void two_hundred_viewers_see_every_byte_once(void **state)
{
	static uint8_t chunk[CHUNK];
	struct viewer *v = calloc(VIEWERS, sizeof(*v));
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	size_t before, most = 0;

	(void)state;
	for (size_t i = 0; i < VIEWERS; i++)
		start_viewer(&v[i], run);
	while (!all(v, 0, VIEWERS, 0))
		assert_true(rig_turn());
	rig_in_time();
	for (size_t i = 0; i < SLOW; i++)
		link_pause(v[i].link, true);
	before = mallinfo2().uordblks;
	for (uint64_t n = 0; n < CHUNKS; n++) {
		size_t now;

		for (size_t i = 0; i < CHUNK; i++)
			chunk[i] = byte_at(n * CHUNK + i);
		send_log(r, h.job, h.epoch, n * CHUNK, (const char *)chunk, CHUNK);
		while (!all(v, SLOW, VIEWERS, (n + 1) * CHUNK))
			assert_true(rig_turn());
		rig_in_time();
		now = mallinfo2().uordblks;
		most = now > before + most ? now - before : most;
	}
	/* What the slow ones have not read lies in the file, not in memory. */
	assert_true(most < (size_t)VIEWERS * (160 << 10));
	for (size_t i = 0; i < SLOW; i++)
		link_pause(v[i].link, false);
	while (!all(v, 0, SLOW, (uint64_t)CHUNKS * CHUNK))
		assert_true(rig_turn());
	rig_in_time();
	for (size_t i = 0; i < VIEWERS; i++)
		assert_false(v[i].ended);
	/* The end: its digest differs from what was sent, which is told and changes nothing here.
	 */
	{
		Cupel__Attempt which = attempt_of(h.job, h.epoch);
		Cupel__Result m = CUPEL__RESULT__INIT;

		m.attempt = &which;
		m.verdict = VERDICT(PASSED);
		m.log_length = (uint64_t)CHUNKS * CHUNK;
		peer_send(r, FRAME_RESULT, &m.base);
	}
	for (size_t i = 0; i < VIEWERS; i++) {
		while (!v[i].ended)
			assert_true(rig_turn());
		assert_int_equal(v[i].at, (uint64_t)CHUNKS * CHUNK);
		link_free(v[i].link);
	}
	rig_in_time();
	free(v);
}

static void a_log_is_read_from_any_offset(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	Cupel__Tail tail = CUPEL__TAIL__INIT;
	const struct heard *part;

	(void)state;
	send_log(r, h.job, h.epoch, 0, "0123456789", 10);
	settle(r);
	tail.run = run;
	tail.name = (char *)"test";
	tail.offset = 7;
	peer_send(c, FRAME_TAIL, &tail.base);
	part = peer_wait(c, FRAME_LOG);
	assert_int_equal(part->head.offset, 7);
	assert_memory_equal(part->bytes, "789", 3);
	assert_int_equal(((const Cupel__TailEnd *)peer_wait(c, FRAME_TAIL_END))->verdict, 0);
	tail.offset = 99; /* behind its end: nothing, and the end */
	peer_send(c, FRAME_TAIL, &tail.base);
	(void)peer_wait(c, FRAME_TAIL_END);
}

static const char *tail_error(struct peer *c, uint64_t job, uint64_t run, const char *name,
			      uint32_t epoch)
{
	Cupel__Tail tail = CUPEL__TAIL__INIT;

	tail.job = job;
	tail.run = run;
	tail.name = (char *)name;
	tail.epoch = epoch;
	peer_send(c, FRAME_TAIL, &tail.base);
	return ((const Cupel__Error *)peer_wait(c, FRAME_ERROR))->text;
}

static void logs_that_are_not_there_are_told(void **state)
{
	const struct job_wish wishes[] = {{.name = "a"}, {.name = "b"}};
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = submit(c);

	(void)state;
	plan(r, wishes, 2);
	(void)take(r);
	assert_string_equal(tail_error(c, 999, 0, "", 0), "there is no job 999");
	assert_non_null(strstr(tail_error(c, 0, run, "c", 0), "has no job c"));
	assert_non_null(strstr(tail_error(c, 0, run, "", 0), "it has several jobs"));
	assert_non_null(strstr(tail_error(c, 0, run, "a", 7), "has no such attempt"));
	assert_non_null(strstr(tail_error(c, 0, run, "b", 0), "none was made yet"));
}

static void who_follows_a_job_that_is_cancelled_unstarted_is_told(void **state)
{
	owned(peer) *viewer = client(ROLE(READER));
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	const struct job_wish wishes[] = {{.name = "a"}, {.name = "b"}};
	Cupel__Tail tail = CUPEL__TAIL__INIT;
	Cupel__RunRequest cancel = CUPEL__RUN_REQUEST__INIT;

	(void)state;
	tail.run = cancel.run = submit(c);
	plan(r, wishes, 2);
	(void)take(r);
	tail.name = (char *)"b";
	tail.follow = true;
	peer_send(viewer, FRAME_TAIL, &tail.base);
	settle(viewer);
	peer_send(c, FRAME_CANCEL, &cancel.base);
	assert_non_null(strstr(((const Cupel__Error *)peer_wait(viewer, FRAME_ERROR))->text,
			       "ended without an attempt"));
}

/* Whatever else was said in that turn: few bytes are left for the end of a tail. */
static int setup_narrow(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	rig.options.outbox_max = 4000;
	rig_start();
	return rc;
}

static void who_cannot_be_told_the_end_is_dismissed(void **state)
{
	owned(peer) *viewer = client(ROLE(READER));
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *after = NULL;
	Cupel__Submit submit_more = CUPEL__SUBMIT__INIT;
	Cupel__Ping ping = CUPEL__PING__INIT;
	Cupel__Tail tail = CUPEL__TAIL__INIT;

	(void)state;
	tail.run = one_job(c, r);
	assert_true(finish(r, take(r), VERDICT(FAILED)));
	submit_more.repository = (char *)"/repo";
	submit_more.revision = (char *)"HEAD";
	peer_send(c, FRAME_SUBMIT, &submit_more.base); /* is said after the commit, and all else */
	for (unsigned i = 0; i < 400; i++)
		peer_send(c, FRAME_PING, &ping.base);
	tail.name = (char *)"test";
	peer_send(viewer, FRAME_TAIL, &tail.base);
	assert_int_equal(((const Cupel__Error *)peer_wait(viewer, FRAME_ERROR))->code, ENOBUFS);
	peer_wait_closed(viewer);
	peer_wait_closed(c);
	after = client(ROLE(READER));
	settle(after); /* and all else goes on */
}

#define test(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(two_hundred_viewers_see_every_byte_once),
		test(a_log_is_read_from_any_offset),
		test(logs_that_are_not_there_are_told),
		test(who_follows_a_job_that_is_cancelled_unstarted_is_told),
		cmocka_unit_test_setup_teardown(who_cannot_be_told_the_end_is_dismissed,
						setup_narrow, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
