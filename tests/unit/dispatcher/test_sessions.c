#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/rig.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Short leases, yet longer than a busy box leaves a process waiting. */
static int rig_setup_leases(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	rig.options.heartbeat_ms = 100;
	rig.options.lease_ms = 1000;
	rig.options.lease_slack_ms = 50;
	rig_start();
	return rc;
}

/* The dispatcher's own clock strikes soon, as above. */
static int rig_setup_limits(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	rig.options.deadline_slack_ms = 10;
	rig.options.prepare_ms = 1000;
	rig_start();
	return rc;
}

static int rig_setup_accept(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	rig.options.accept_ms = 40;
	rig_start();
	return rc;
}

/* --- the way of a run
 * ------------------------------------------------------------------------------------- */

static void a_run_goes_from_submit_to_verdict(void **state)
{
	owned(peer) *r = runner("box", 1, 2);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	const Cupel__Run *shown;

	(void)state;
	send_phase(r, h.job, h.epoch, STATE(RUNNING));
	shown = get(c, run);
	assert_int_equal(job_named(shown, "test")->state, STATE(RUNNING));
	assert_string_equal(shown->commit, COMMIT);
	assert_true(finish(r, h, VERDICT(PASSED)));
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(PASSED));
	assert_string_equal(shown->reason, "1 job passed");
	assert_false(shown->flaky);
	assert_int_equal(job_named(shown, "test")->n_attempts, 1);
	assert_string_equal(job_named(shown, "test")->attempts[0]->runner, "box");
}

static void needs_hold_release_and_skip(void **state)
{
	const struct job_wish wishes[] = {{.name = "build"},
					  {.name = "test", .needs = "build"},
					  {.name = "lint"},
					  {.name = "after", .needs = "lint"},
					  {.name = "last", .needs = "after"}};
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = submit(c);
	const Cupel__Run *shown;

	(void)state;
	plan(r, wishes, 5);
	shown = get(c, run);
	assert_int_equal(job_named(shown, "test")->state, STATE(HELD));
	assert_string_equal(job_named(shown, "test")->waits_for, "waits for build");
	assert_true(finish(r, take(r), VERDICT(PASSED))); /* build */
	assert_true(finish(r, take(r), VERDICT(PASSED))); /* test, released: its id is smaller */
	assert_true(finish(r, take(r), VERDICT(FAILED))); /* lint */
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(FAILED));
	assert_string_equal(shown->reason, "lint: as told by the runner");
	assert_int_equal(job_named(shown, "test")->verdict, VERDICT(PASSED));
	assert_int_equal(job_named(shown, "after")->verdict, VERDICT(SKIPPED));
	assert_string_equal(job_named(shown, "after")->reason,
			    "it needs lint, which ended as failed");
	assert_int_equal(job_named(shown, "last")->verdict, VERDICT(SKIPPED));
}

static void a_plan_that_could_never_end_is_errored(void **state)
{
	const struct job_wish circle[] = {{.name = "a", .needs = "b"}, {.name = "b", .needs = "a"}};
	const struct job_wish twice[] = {{.name = "a"}, {.name = "a"}};
	const struct job_wish missing[] = {{.name = "a", .needs = "z"}};
	const struct {
		const struct job_wish *wishes;
		size_t count;
		const char *reason;
	} cases[] = {
		{circle, 2, "job a needs itself, by way of others"},
		{twice, 2, "there are two jobs named a"},
		{missing, 1, "job a needs z, which is not there"},
		{missing, 0, "there is nothing to test in this commit"},
	};
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint64_t run = submit(c);
		struct hand h = take(r);
		const Cupel__Run *shown;

		send_plan(r, h.job, h.epoch, cases[i].wishes, cases[i].count);
		shown = wait_run(c, run);
		assert_int_equal(shown->verdict, VERDICT(ERRORED));
		assert_string_equal(shown->reason, cases[i].reason);
		send_released(r, h.job, h.epoch);
	}
}

static void an_event_is_one_run_however_often_it_comes(void **state)
{
	owned(peer) *o = client(ROLE(OBSERVER));
	Cupel__Event m = CUPEL__EVENT__INIT;
	const Cupel__EventAck *ack;
	uint64_t run;

	(void)state;
	m.repository = (char *)"/repo";
	m.name = (char *)"repo";
	m.ref = (char *)"refs/heads/main";
	m.commit = (char *)COMMIT;
	m.sequence = 7;
	peer_send(o, FRAME_EVENT, &m.base);
	ack = peer_wait(o, FRAME_EVENT_ACK);
	run = ack->run;
	assert_true(ack->sequence == 7 && !ack->known && run);
	m.sequence = 8;
	m.ref = (char *)"refs/tags/v1";
	peer_send(o, FRAME_EVENT, &m.base);
	ack = peer_wait(o, FRAME_EVENT_ACK);
	assert_true(ack->sequence == 8 && ack->known && ack->run == run);
}

/* --- logs
 * -------------------------------------------------------------------------------------------------
 */

static void wait_log_durable(struct peer *r, uint64_t length)
{
	while (((const Cupel__LogAck *)peer_wait(r, FRAME_LOG_ACK))->durable < length)
		continue;
}

static void a_log_arrives_by_offset_and_byte_exact(void **state)
{
	const char text[] = "a: b\0c\n\xff\xfe end";
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r), at = 0;
	struct hand h = take(r);
	Cupel__Tail tail = CUPEL__TAIL__INIT;
	const struct heard *part;

	(void)state;
	send_log(r, h.job, h.epoch, 5, text + 5, 3); /* a gap: it says what it has */
	assert_int_equal(((const Cupel__LogAck *)peer_wait(r, FRAME_LOG_ACK))->durable, 0);
	send_log(r, h.job, h.epoch, 0, text, 8);
	wait_log_durable(r, 8);
	send_log(r, h.job, h.epoch, 4, text + 4, sizeof(text) - 4); /* overlaps */
	wait_log_durable(r, sizeof(text));
	tail.run = run;
	tail.name = (char *)"test";
	peer_send(c, FRAME_TAIL, &tail.base);
	while (at < sizeof(text)) {
		part = peer_wait(c, FRAME_LOG);
		assert_int_equal(part->head.offset, at);
		assert_memory_equal(part->bytes, text + at, part->length);
		at += part->length;
	}
	assert_int_equal(((const Cupel__TailEnd *)peer_wait(c, FRAME_TAIL_END))->length,
			 sizeof(text));
}

static void a_result_waits_for_its_log(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	const Cupel__Run *shown;

	(void)state;
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "all of it");
	assert_int_equal(((const Cupel__LogAck *)peer_wait(r, FRAME_LOG_ACK))->durable, 0);
	shown = get(c, run);
	assert_int_equal(shown->verdict, 0);
	assert_int_equal(job_named(shown, "test")->state, STATE(FINISHING));
	send_log(r, h.job, h.epoch, 0, "all ", 4);
	send_log(r, h.job, h.epoch, 4, "of it", 5);
	(void)peer_wait(r, FRAME_RESULT_ACK);
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(PASSED));
	assert_int_equal(job_named(shown, "test")->attempts[0]->log_length, 9);
}

static void a_log_that_differs_is_told(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	const Cupel__Run *shown;

	(void)state;
	send_log(r, h.job, h.epoch, 0, "sent this", 9);
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "told that");
	(void)peer_wait(r, FRAME_RESULT_ACK);
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(PASSED));
	assert_non_null(strstr(job_named(shown, "test")->reason, "the digests differ"));
}

static void a_log_beyond_the_output_limit_is_refused(void **state)
{
	static char chunk[LOG_BYTES_MAX];
	const struct job_wish wish = {.name = "test", .output = 1000};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = submit(c);
	const Cupel__Error *told;
	struct hand h;

	(void)state;
	plan(r, &wish, 1);
	h = take(r);
	for (uint64_t i = 0; i < 5; i++)
		send_log(r, h.job, h.epoch, i * sizeof(chunk), chunk, sizeof(chunk));
	told = peer_wait(r, FRAME_ERROR);
	assert_int_equal(told->code, EFBIG);
	assert_int_equal(job_named(get(c, run), "test")->attempts[0]->log_length,
			 4 * sizeof(chunk));
}

static void who_follows_sees_it_grow_from_before_the_start(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *viewer = client(ROLE(READER));
	owned(peer) *r = runner("box", 1, 1);
	Cupel__Tail tail = CUPEL__TAIL__INIT;
	const Cupel__TailEnd *end;
	struct hand h;
	size_t at = 0;
	char all[9];

	(void)state;
	tail.run = one_job(c, r);
	tail.name = (char *)"test";
	tail.follow = true;
	peer_send(viewer, FRAME_TAIL, &tail.base);
	h = take(r);
	send_log(r, h.job, h.epoch, 0, "one", 3);
	send_log(r, h.job, h.epoch, 3, "two", 3);
	send_log(r, h.job, h.epoch, 6, "end", 3);
	while (at < 9) {
		const struct heard *part = peer_wait(viewer, FRAME_LOG);

		assert_int_equal(part->head.offset, at);
		memcpy(all + at, part->bytes, part->length);
		at += part->length;
	}
	assert_memory_equal(all, "onetwoend", 9);
	send_result(r, h.job, h.epoch, VERDICT(FAILED), false, "onetwoend");
	end = peer_wait(viewer, FRAME_TAIL_END);
	assert_int_equal(end->length, 9);
	assert_int_equal(end->verdict, VERDICT(FAILED));
	assert_string_equal(end->reason, "as told by the runner");
}

/* --- losing runners
 * --------------------------------------------------------------------------------------- */

static void a_silent_runner_loses_its_job_by_the_lease(void **state)
{
	owned(peer) *silent = runner("silent", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, silent);
	struct hand h = take(silent), again;
	owned(peer) *other = NULL;
	const Cupel__Job *job;

	(void)state;
	peer_free(give(silent)); /* a closed connection alone is not death */
	other = runner("other", 1, 1);
	again = take(other);
	assert_int_equal(again.job, h.job);
	assert_true(again.epoch > h.epoch);
	job = job_named(get(c, run), "test");
	assert_int_equal(job->attempts[0]->verdict, VERDICT(LOST));
	assert_non_null(strstr(job->attempts[0]->reason, "the lease ran out"));
	assert_true(finish(other, again, VERDICT(PASSED)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
}

/* When the lease of what the first runner does ends, at the earliest and at the latest. */
static void lease_end(struct peer *c, int64_t *earliest, int64_t *latest)
{
	Cupel__RunnersRequest m = CUPEL__RUNNERS_REQUEST__INIT;
	const Cupel__RunnerList *list;
	int64_t left;

	*earliest = clock_boot_ms();
	peer_send(c, FRAME_RUNNERS, &m.base);
	list = peer_wait(c, FRAME_RUNNER_LIST);
	assert_int_equal(list->runners[0]->n_jobs, 1);
	left = (int64_t)list->runners[0]->jobs[0]->lease_left_ms;
	*earliest += left;
	*latest = clock_boot_ms() + left;
}

static void heartbeats_keep_the_lease(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	int64_t earliest, latest, first, until = clock_boot_ms() + RIG_WAIT_MS;
	Cupel__Attempt which = attempt_of(h.job, h.epoch);
	Cupel__Progress progress = CUPEL__PROGRESS__INIT;
	Cupel__Progress *list[] = {&progress};
	Cupel__Heartbeat m = CUPEL__HEARTBEAT__INIT;

	(void)state;
	progress.attempt = &which;
	progress.state = STATE(RUNNING);
	m.n_attempts = 1;
	m.attempts = list;
	lease_end(c, &earliest, &first);
	do { /* until the clock has gone on by more than a question takes */
		const Cupel__Lease *lease;

		assert_true(clock_boot_ms() < until);
		peer_send(r, FRAME_HEARTBEAT, &m.base);
		lease = peer_wait(r, FRAME_LEASE);
		assert_int_equal(lease->n_attempts, 1);
		assert_true(lease->attempts[0]->renewed);
		lease_end(c, &earliest, &latest);
	} while (earliest <= first);
	assert_true(finish(r, h, VERDICT(PASSED)));
	assert_int_equal(job_named(wait_run(c, run), "test")->n_attempts, 1);
}

static void a_new_incarnation_loses_all_at_once(void **state)
{
	const struct job_wish wishes[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
	owned(peer) *old = runner("box", 1, 3);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = submit(c);
	owned(peer) *other = NULL;
	owned(peer) *reborn = NULL;
	struct hand hands[3];
	int64_t before;

	(void)state;
	plan(old, wishes, 3);
	for (int i = 0; i < 3; i++)
		(void)take(old);
	other = runner("other", 1, 3);
	before = clock_boot_ms();
	reborn = runner("box", 2, 3); /* the lease would last a minute */
	for (int i = 0; i < 3; i++) {
		hands[i] = take(other);
		assert_int_equal(hands[i].epoch, 2);
	}
	assert_true(clock_boot_ms() - before < 20000 && !reborn->closed);
	for (int i = 0; i < 3; i++)
		assert_true(finish(other, hands[i], VERDICT(PASSED)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
}

static void the_same_incarnation_goes_on_where_it_was(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	const Cupel__Welcome *welcome;

	(void)state;
	send_log(r, h.job, h.epoch, 0, "before", 6);
	wait_log_durable(r, 6);
	peer_free(give(r));
	r = peer_dial();
	h.state = STATE(RUNNING);
	h.log_length = 11;
	runner_hello(r, "box", 1, 1, &h, 1);
	welcome = peer_wait(r, FRAME_WELCOME);
	assert_int_equal(welcome->n_held, 1);
	assert_true(welcome->held[0]->proceed);
	assert_int_equal(welcome->held[0]->log_durable, 6);
	send_log(r, h.job, h.epoch, 6, "after", 5);
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "beforeafter");
	(void)peer_wait(r, FRAME_RESULT_ACK);
	assert_int_equal(job_named(wait_run(c, run), "test")->n_attempts, 1);
}

static void two_lost_runners_are_poison_until_a_person_retries(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *first = runner("one", 1, 1);
	owned(peer) *second = NULL;
	owned(peer) *third = NULL;
	uint64_t run = one_job(c, first);
	Cupel__RunRequest retry = CUPEL__RUN_REQUEST__INIT;
	const Cupel__Run *shown;

	(void)state;
	(void)take(first);
	second = runner("two", 1, 1);
	third = runner("one", 2, 1); /* "one" died with it */
	(void)take(second);
	peer_free(give(third));
	third = runner("two", 2, 1); /* and "two" */
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(ERRORED));
	assert_non_null(strstr(shown->reason, "2 different ones"));
	assert_int_equal(job_named(shown, "test")->n_attempts, 2);
	retry.run = run;
	peer_send(c, FRAME_RETRY, &retry.base);
	(void)peer_wait(c, FRAME_DONE);
	assert_true(finish(third, take(third), VERDICT(PASSED)));
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(PASSED));
	assert_false(shown->flaky); /* the job itself never went wrong */
}

static void the_newer_connection_of_a_name_wins(void **state)
{
	owned(peer) *old = runner("box", 1, 1);
	owned(peer) *new = runner("box", 2, 1);

	(void)state;
	(void)peer_wait(old, FRAME_ERROR);
	peer_wait_closed(old);
	assert_false(new->closed);
}

static void a_held_attempt_that_is_over_is_dropped(void **state)
{
	owned(peer) *r = runner("box", 1, 1);
	owned(peer) *c = client(ROLE(SUBMITTER));
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	const Cupel__Welcome *welcome;

	(void)state;
	assert_true(finish(r, h, VERDICT(PASSED)));
	(void)wait_run(c, run);
	peer_free(give(r));
	r = peer_dial();
	runner_hello(r, "box", 1, 1, &h, 1);
	welcome = peer_wait(r, FRAME_WELCOME);
	assert_false(welcome->held[0]->proceed);
}

/* --- limits
 * -----------------------------------------------------------------------------------------------
 */

static void a_time_out_is_tried_once_on_another_runner(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *a = runner("a", 1, 1);
	uint64_t run = one_job(c, a);
	struct hand h = take(a);
	owned(peer) *b = runner("b", 1, 1);
	const Cupel__Run *shown;

	(void)state;
	assert_true(finish(a, h, VERDICT(TIMED_OUT)));
	h = take(b); /* "a" is free again, and not asked */
	assert_int_equal(h.epoch, 2);
	assert_true(finish(b, h, VERDICT(PASSED)));
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(PASSED));
	assert_true(shown->flaky);
	assert_int_equal(job_named(shown, "test")->attempts[0]->verdict, VERDICT(TIMED_OUT));
}

static void a_second_time_out_is_the_verdict(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *a = runner("a", 1, 1);
	uint64_t run = one_job(c, a);
	struct hand h = take(a);
	owned(peer) *b = runner("b", 1, 1);

	(void)state;
	assert_true(finish(a, h, VERDICT(TIMED_OUT)));
	assert_true(finish(b, take(b), VERDICT(TIMED_OUT)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(TIMED_OUT));
}

static void without_another_runner_a_time_out_is_the_verdict(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *a = runner("a", 1, 1);
	uint64_t run = one_job(c, a);

	(void)state;
	assert_true(finish(a, take(a), VERDICT(TIMED_OUT)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(TIMED_OUT));
}

static void the_dispatchers_own_clock_holds_the_wall_limit(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);
	const Cupel__Assign *assign = peer_wait(r, FRAME_ASSIGN);
	uint64_t job = assign->attempt->job;
	const Cupel__Run *shown;

	(void)state;
	send_accept(r, job, 1, 30, 0);
	send_phase(r, job, 1, STATE(RUNNING));
	assert_int_equal(((const Cupel__Stop *)peer_wait(r, FRAME_STOP))->attempt->job, job);
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(TIMED_OUT));
	assert_non_null(strstr(shown->reason, "wall limit of 30ms"));
	send_result(r, job, 1, VERDICT(PASSED), false, "");
	assert_true(((const Cupel__ResultAck *)peer_wait(r, FRAME_RESULT_ACK))->stale);
	shown = get(c, run);
	assert_int_equal(shown->verdict, VERDICT(TIMED_OUT));
	assert_string_equal(job_named(shown, "test")->attempts[0]->late_result,
			    "passed: as told by the runner");
}

static void the_dispatchers_own_clock_holds_the_idle_limit(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);
	uint64_t job = ((const Cupel__Assign *)peer_wait(r, FRAME_ASSIGN))->attempt->job;

	(void)state;
	send_accept(r, job, 1, 60000, 30);
	send_phase(r, job, 1, STATE(RUNNING));
	(void)peer_wait(r, FRAME_STOP);
	assert_non_null(strstr(wait_run(c, run)->reason, "idle limit of 30ms"));
}

static void a_runner_that_grants_no_limit_or_more_is_held_to_the_wish(void **state)
{
	const struct job_wish wishes[] = {{.name = "none", .wall_ms = 30},
					  {.name = "more", .wall_ms = 30}};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 2);
	uint64_t run = submit(c);
	const Cupel__Run *shown;

	(void)state;
	plan(r, wishes, 2);
	for (uint64_t granted = 0; granted <= 60000; granted += 60000) {
		uint64_t job = ((const Cupel__Assign *)peer_wait(r, FRAME_ASSIGN))->attempt->job;

		send_accept(r, job, 1, granted, 0);
		send_phase(r, job, 1, STATE(RUNNING));
	}
	shown = wait_run(c, run);
	assert_int_equal(job_named(shown, "none")->verdict, VERDICT(TIMED_OUT));
	assert_int_equal(job_named(shown, "more")->verdict, VERDICT(TIMED_OUT));
}

/* Neither bytes that are there nor the word that there are more put the end off. */
static void finishing_is_not_prolonged_by_nothing_new(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	Cupel__Attempt which = attempt_of(h.job, h.epoch);
	Cupel__Progress progress = CUPEL__PROGRESS__INIT;
	Cupel__Progress *list[] = {&progress};
	Cupel__Heartbeat beat = CUPEL__HEARTBEAT__INIT;

	(void)state;
	progress.attempt = &which;
	progress.state = STATE(FINISHING);
	beat.n_attempts = 1;
	beat.attempts = list;
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "all of it");
	while (!peer_heard(r, FRAME_STOP)) {
		send_log(r, h.job, h.epoch, 0, "all", 3);
		progress.log_length++;
		peer_send(r, FRAME_HEARTBEAT, &beat.base);
		assert_true(rig_turn());
	}
	rig_in_time();
	assert_non_null(strstr(job_named(get(c, run), "test")->attempts[0]->reason,
			       "finishing it took longer"));
}

static void preparing_for_too_long_goes_elsewhere(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *a = runner("a", 1, 1);
	uint64_t run = one_job(c, a);
	owned(peer) *b = NULL;

	(void)state;
	(void)take(a);
	b = runner("b", 1, 1);
	assert_true(finish(b, take(b), VERDICT(PASSED)));
	assert_non_null(strstr(job_named(wait_run(c, run), "test")->attempts[0]->reason,
			       "preparing it took longer than 1s on a"));
}

static void who_never_accepts_is_asked_three_times_in_all(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("deaf", 1, 1);
	uint64_t run = submit(c);
	const Cupel__Run *shown = wait_run(c, run);

	(void)state;
	assert_int_equal(shown->verdict, VERDICT(ERRORED));
	assert_int_equal(shown->jobs[0]->n_attempts, 3);
	assert_non_null(strstr(shown->reason, "3 attempts failed"));
	assert_non_null(
		strstr(shown->jobs[0]->attempts[0]->reason, "did not accept it within 40ms"));
}

static void a_refusal_goes_to_another_and_is_told(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *a = runner("a", 1, 1);
	uint64_t run = one_job(c, a);
	const Cupel__Assign *assign = peer_wait(a, FRAME_ASSIGN);
	Cupel__Attempt which = attempt_of(assign->attempt->job, assign->attempt->epoch);
	Cupel__Decline decline = CUPEL__DECLINE__INIT;
	Cupel__RunRequest why = CUPEL__RUN_REQUEST__INIT;
	const Cupel__Explanation *lines;
	owned(peer) *b = NULL;

	(void)state;
	decline.attempt = &which;
	decline.reason = (char *)"memory is short";
	peer_send(a, FRAME_DECLINE, &decline.base);
	do { /* the refusal travels on another connection than the question */
		why.run = run;
		peer_send(c, FRAME_WHY, &why.base);
		lines = peer_wait(c, FRAME_EXPLANATION);
	} while (!strstr(lines->lines[0], "declined"));
	assert_string_equal(lines->lines[0], "test: queued: a declined: memory is short");
	b = runner("b", 1, 1);
	assert_true(finish(b, take(b), VERDICT(PASSED)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
}

static Cupel__Attempt assigned(struct peer *r)
{
	const Cupel__Assign *assign = peer_wait(r, FRAME_ASSIGN);

	return attempt_of(assign->attempt->job, assign->attempt->epoch);
}

static void decline(struct peer *r, Cupel__Attempt which)
{
	Cupel__Decline m = CUPEL__DECLINE__INIT;

	m.attempt = &which;
	m.reason = (char *)"memory is short";
	peer_send(r, FRAME_DECLINE, &m.base);
}

/* A runner that had no room for one has none for the other's sake. */
static void two_that_are_declined_are_not_asked_for_in_turn(void **state)
{
	const struct job_wish wishes[] = {{.name = "little", .memory = 1 << 20},
					  {.name = "much", .memory = 2 << 20}};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 2);
	uint64_t run = submit(c);
	const Cupel__Run *shown;
	Cupel__Attempt first, second;

	(void)state;
	plan(r, wishes, 2);
	first = assigned(r);
	second = assigned(r);
	decline(r, first);
	decline(r, second);
	settle(r); /* both are done with */
	shown = get(c, run);
	assert_int_equal(job_named(shown, "little")->n_attempts, 1);
	assert_int_equal(job_named(shown, "much")->n_attempts, 1);
}

static void failures_are_retried_when_the_job_file_says_so(void **state)
{
	const struct job_wish wish = {.name = "test", .retry = "failed"};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = submit(c);
	const Cupel__Run *shown;

	(void)state;
	plan(r, &wish, 1);
	assert_true(finish(r, take(r), VERDICT(FAILED)));
	assert_true(finish(r, take(r), VERDICT(PASSED)));
	shown = wait_run(c, run);
	assert_true(shown->verdict == VERDICT(PASSED) && shown->flaky);
	assert_string_equal(shown->reason, "1 job passed, not all at the first attempt");
}

/* --- people
 * -----------------------------------------------------------------------------------------------
 */

static void cancelling_ends_everything_at_once(void **state)
{
	const struct job_wish wishes[] = {
		{.name = "a"}, {.name = "b"}, {.name = "c", .needs = "a"}};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = submit(c);
	Cupel__RunRequest m = CUPEL__RUN_REQUEST__INIT;
	const Cupel__Run *shown;
	struct hand h;

	(void)state;
	plan(r, wishes, 3);
	h = take(r);
	m.run = run;
	m.reason = (char *)"wrong branch";
	peer_send(c, FRAME_CANCEL, &m.base);
	assert_string_equal(((const Cupel__Done *)peer_wait(c, FRAME_DONE))->text,
			    "3 jobs cancelled");
	assert_int_equal(((const Cupel__Stop *)peer_wait(r, FRAME_STOP))->attempt->job, h.job);
	shown = wait_run(c, run);
	assert_int_equal(shown->verdict, VERDICT(CANCELLED));
	for (size_t i = 1; i < shown->n_jobs; i++)
		assert_int_equal(shown->jobs[i]->verdict, VERDICT(CANCELLED));
	assert_false(finish(r, h, VERDICT(FAILED))); /* stale */
	assert_int_equal(get(c, run)->verdict, VERDICT(CANCELLED));
}

static void a_retry_takes_what_failed_and_what_was_skipped_for_it(void **state)
{
	const struct job_wish wishes[] = {
		{.name = "a"}, {.name = "b"}, {.name = "c", .needs = "a"}};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = submit(c);
	Cupel__RunRequest m = CUPEL__RUN_REQUEST__INIT;
	const Cupel__Run *shown;

	(void)state;
	plan(r, wishes, 3);
	assert_true(finish(r, take(r), VERDICT(FAILED)));
	assert_true(finish(r, take(r), VERDICT(PASSED)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(FAILED));
	m.run = run;
	m.failed_only = true;
	peer_send(c, FRAME_RETRY, &m.base);
	assert_string_equal(((const Cupel__Done *)peer_wait(c, FRAME_DONE))->text,
			    "2 jobs queued again");
	assert_true(finish(r, take(r), VERDICT(PASSED)));
	assert_true(finish(r, take(r), VERDICT(PASSED)));
	shown = wait_run(c, run);
	assert_true(shown->verdict == VERDICT(PASSED) && shown->flaky);
	assert_int_equal(job_named(shown, "a")->n_attempts, 2);
	assert_int_equal(job_named(shown, "b")->n_attempts, 1);
	assert_int_equal(job_named(shown, "c")->n_attempts, 1);
}

static void a_draining_runner_gets_nothing_new(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	owned(peer) *r = runner("box", 1, 1);
	Cupel__DrainRequest m = CUPEL__DRAIN_REQUEST__INIT;
	Cupel__RunnersRequest list = CUPEL__RUNNERS_REQUEST__INIT;
	const Cupel__RunnerList *runners;

	(void)state;
	m.runner = (char *)"box";
	peer_send(admin, FRAME_DRAIN_RUNNER, &m.base);
	(void)peer_wait(admin, FRAME_DONE);
	assert_false(((const Cupel__Drain *)peer_wait(r, FRAME_DRAIN))->off);
	(void)submit(admin);
	peer_send(admin, FRAME_RUNNERS, &list.base);
	runners = peer_wait(admin, FRAME_RUNNER_LIST);
	assert_int_equal(runners->n_runners, 1);
	assert_true(runners->runners[0]->connected && runners->runners[0]->draining);
	assert_int_equal(runners->runners[0]->n_jobs, 0);
	m.off = true;
	peer_send(admin, FRAME_DRAIN_RUNNER, &m.base);
	(void)take(r);
}

static void limits_reach_the_runner_as_they_were_said(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	owned(peer) *r = runner("box", 1, 1);
	Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;
	Cupel__SetLimits m = CUPEL__SET_LIMITS__INIT;

	(void)state;
	capacity.slots = 5;
	capacity.memory = 1 << 30;
	m.runner = (char *)"box";
	m.capacity = &capacity;
	peer_send(admin, FRAME_SET_LIMITS, &m.base);
	(void)peer_wait(admin, FRAME_DONE);
	assert_int_equal(
		((const Cupel__SetLimits *)peer_wait(r, FRAME_RUNNER_LIMITS))->capacity->slots, 5);
}

/* --- restarts
 * --------------------------------------------------------------------------------------------- */

static void a_restart_goes_on_with_what_runs_and_what_waits(void **state)
{
	const struct job_wish wishes[] = {{.name = "a"}, {.name = "b"}};
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = submit(c);
	const Cupel__Welcome *welcome;
	struct hand h;

	(void)state;
	plan(r, wishes, 2);
	h = take(r);
	send_log(r, h.job, h.epoch, 0, "before", 6);
	wait_log_durable(r, 6);
	rig_stop();
	peer_wait_closed(r);
	peer_free(give(r));
	peer_free(give(c));
	rig_start();
	r = peer_dial();
	h.state = STATE(RUNNING);
	h.log_length = 6;
	runner_hello(r, "box", 1, 1, &h, 1);
	welcome = peer_wait(r, FRAME_WELCOME);
	assert_true(welcome->held[0]->proceed);
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, "before");
	assert_false(((const Cupel__ResultAck *)peer_wait(r, FRAME_RESULT_ACK))->stale);
	send_released(r, h.job, h.epoch);
	assert_true(finish(r, take(r), VERDICT(PASSED))); /* b had waited */
	c = client(ROLE(READER));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
	assert_int_equal(job_named(get(c, run), "a")->n_attempts, 1);
}

static void remove_database(void)
{
	static const char *const names[] = {"cupel.db", "cupel.db-wal", "cupel.db-shm"};

	for (size_t i = 0; i < 3; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", scratch_path, names[i]);
		assert_true(unlink(path) == 0 || i > 0);
	}
}

/* A run of one job that passes with this log. */
static struct hand run_with_log(struct peer *c, struct peer *r, const char *log)
{
	uint64_t run = one_job(c, r);
	struct hand h = take(r);

	send_log(r, h.job, h.epoch, 0, log, strlen(log));
	send_result(r, h.job, h.epoch, VERDICT(PASSED), false, log);
	(void)peer_wait(r, FRAME_RESULT_ACK);
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
	return h;
}

static void a_new_database_does_not_show_the_logs_of_the_old_one(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	struct hand old = run_with_log(c, r, "what another repository's job wrote");
	Cupel__Tail tail = CUPEL__TAIL__INIT;
	struct hand h;

	(void)state;
	rig_stop();
	remove_database();
	peer_free(give(r));
	peer_free(give(c));
	rig_start();
	c = client(ROLE(SUBMITTER));
	r = runner("box", 1, 1);
	h = run_with_log(c, r, "its own");
	assert_true(h.job == old.job && h.epoch == old.epoch);
	tail.job = h.job;
	peer_send(c, FRAME_TAIL, &tail.base);
	assert_memory_equal(((const struct heard *)peer_wait(c, FRAME_LOG))->bytes, "its own", 7);
	assert_int_equal(((const Cupel__TailEnd *)peer_wait(c, FRAME_TAIL_END))->length, 7);
}

static void after_a_restart_a_runner_has_a_lease_of_grace(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("gone", 1, 1);
	uint64_t run = one_job(c, r);
	struct hand h = take(r);

	(void)state;
	rig_stop();
	peer_free(give(r));
	peer_free(give(c));
	rig_start();
	c = client(ROLE(READER));
	assert_int_equal(job_named(get(c, run), "test")->state, STATE(PREPARING));
	r = runner("other", 1, 1);
	assert_int_equal(take(r).job, h.job); /* after the lease */
}

static void a_result_said_twice_is_one_verdict(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);
	struct hand h = take(r);

	(void)state;
	assert_true(finish(r, h, VERDICT(PASSED)));
	assert_true(finish(r, h, VERDICT(PASSED))); /* its acknowledgement was lost, say */
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
	assert_string_equal(job_named(get(c, run), "test")->attempts[0]->late_result, "");
}

/* What a runner says that was told to stop. */
static void send_stopped(struct peer *p, const struct hand *h, const char *reason)
{
	Cupel__Attempt which = attempt_of(h->job, h->epoch);
	Cupel__Result m = CUPEL__RESULT__INIT;

	m.attempt = &which;
	m.verdict = VERDICT(CANCELLED);
	m.reason = (char *)reason;
	peer_send(p, FRAME_RESULT, &m.base);
	assert_true(((const Cupel__ResultAck *)peer_wait(p, FRAME_RESULT_ACK))->stale);
}

static void a_runner_that_says_back_why_it_stopped_adds_nothing(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	Cupel__RunRequest m = CUPEL__RUN_REQUEST__INIT;
	char reason[200];

	(void)state;
	m.run = run;
	m.reason = (char *)"no use";
	peer_send(c, FRAME_CANCEL, &m.base);
	(void)snprintf(reason, sizeof(reason), "%s",
		       ((const Cupel__Stop *)peer_wait(r, FRAME_STOP))->reason);
	assert_non_null(strstr(reason, "no use"));
	send_stopped(r, &h, reason);
	assert_string_equal(job_named(get(c, run), "test")->attempts[0]->late_result, "");
	reason[strlen(reason) - 3] = '\0'; /* its orders are shorter */
	send_stopped(r, &h, reason);
	assert_string_equal(job_named(get(c, run), "test")->attempts[0]->late_result, "");
	send_stopped(r, &h, "something else");
	assert_string_equal(job_named(get(c, run), "test")->attempts[0]->late_result,
			    "cancelled: something else");
}

static void a_state_directory_in_use_is_refused_with_the_pid(void **state)
{
	struct dispatcher *second = NULL;
	struct error err = {0};
	char pid[32];

	(void)state;
	assert_int_equal(dispatcher_new(rig.base, &rig.options, &second, &err), -EBUSY);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(err.text, pid));
}

/* --- bad input
 * -------------------------------------------------------------------------------------------- */

static const char *told_error(struct peer *p)
{
	return ((const Cupel__Error *)peer_wait(p, FRAME_ERROR))->text;
}

static void an_unknown_type_is_an_error_and_the_connection_stays(void **state)
{
	owned(peer) *c = client(ROLE(READER));
	Cupel__List list = CUPEL__LIST__INIT;

	(void)state;
	assert_int_equal(link_send_raw(c->link, 200, "xyz", 3, NULL, 0), 0);
	assert_non_null(strstr(told_error(c), "not understood"));
	peer_send(c, FRAME_LIST, &list.base);
	(void)peer_wait(c, FRAME_RUNS);
}

static void garbage_in_a_known_type_is_an_error_and_the_connection_stays(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));

	(void)state;
	assert_int_equal(link_send_raw(c->link, FRAME_SUBMIT, "\xff\xff\xff\xff", 4, NULL, 0), 0);
	assert_non_null(strstr(told_error(c), "SUBMIT"));
	assert_true(submit(c) > 0);
}

static void a_role_does_only_what_is_its_own(void **state)
{
	owned(peer) *reader = client(ROLE(READER));
	owned(peer) *r = runner("box", 1, 1);
	Cupel__Submit m = CUPEL__SUBMIT__INIT;

	(void)state;
	m.repository = (char *)"/repo";
	m.revision = (char *)"HEAD";
	peer_send(reader, FRAME_SUBMIT, &m.base);
	assert_non_null(strstr(told_error(reader), "SUBMIT is not for the role reader"));
	peer_send(r, FRAME_SUBMIT, &m.base);
	assert_non_null(strstr(told_error(r), "not for the role runner"));
	send_phase(reader, 1, 1, STATE(RUNNING));
	assert_non_null(strstr(told_error(reader), "not for the role reader"));
}

static void who_speaks_before_its_hello_is_closed(void **state)
{
	owned(peer) *p = peer_dial();
	Cupel__List list = CUPEL__LIST__INIT;

	(void)state;
	peer_send(p, FRAME_LIST, &list.base);
	(void)told_error(p);
	peer_wait_closed(p);
}

static void a_frame_before_the_hello_is_small(void **state)
{
	static uint8_t large[100000];
	owned(peer) *stranger = peer_dial();
	owned(peer) *c = NULL;

	(void)state;
	assert_int_equal(link_send_raw(stranger->link, FRAME_HELLO, large, sizeof(large), NULL, 0),
			 0);
	assert_int_equal(((const Cupel__Error *)peer_wait(stranger, FRAME_ERROR))->code, EMSGSIZE);
	peer_wait_closed(stranger);
	c = client(ROLE(READER));
	assert_int_equal(link_send_raw(c->link, FRAME_LIST, large, sizeof(large), NULL, 0), 0);
	assert_int_equal(((const Cupel__Error *)peer_wait(c, FRAME_ERROR))->code, EBADMSG);
	settle(c);
}

#define ALLOWED  12345
#define STRANGER 54321

/* Other users reach the socket, one of them is allowed. */
static int rig_setup_users(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	rig.options.allow_uids[0] = ALLOWED;
	rig.options.allow_uids_count = 1;
	rig_start();
	return rc < 0 ? rc : chmod(scratch_path, 0711);
}

/* Connects and says nothing; 0: it was told who may. */
static int listen_as(uid_t uid)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char heard[4096];
	size_t length = 0;
	ssize_t n;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/dispatcher.sock", scratch_path);
	if (setuid(uid) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return 1;
	while ((n = read(fd, heard + length, sizeof(heard) - length)) > 0)
		length += (size_t)n;
	return memmem(heard, length, "allow_uids", 10) ? 0 : 2;
}

static void child_ended(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context; /* it only wakes the loop */
}

static void a_user_who_may_be_nothing_is_not_listened_to(void **state)
{
	struct event *ended = evsignal_new(rig.base, SIGCHLD, child_ended, NULL);
	pid_t child;
	int status;

	(void)state;
	if (geteuid() != 0) {
		event_free(ended);
		print_message("SKIP a_user_who_may_be_nothing_is_not_listened_to: needs root\n");
		skip();
	}
	(void)event_add(ended, NULL);
	child = fork();
	if (child == 0)
		_exit(listen_as(STRANGER));
	while (waitpid(child, &status, WNOHANG) == 0)
		assert_true(rig_turn());
	rig_in_time();
	event_free(ended);
	assert_int_equal(status, 0);
}

static void a_runner_cannot_touch_anothers_attempt(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("honest", 1, 1);
	uint64_t run = one_job(c, r);
	struct hand h = take(r);
	owned(peer) *forger = runner("forger", 1, 1);

	(void)state;
	send_result(forger, h.job, h.epoch, VERDICT(FAILED), false, "");
	assert_non_null(strstr(told_error(forger), "not its own"));
	send_log(forger, h.job, h.epoch, 0, "lies", 4);
	assert_non_null(strstr(told_error(forger), "not its own"));
	send_released(forger, h.job, h.epoch);
	(void)told_error(forger);
	send_result(forger, 999, 1, VERDICT(FAILED), false, "");
	(void)told_error(forger);
	assert_true(finish(r, h, VERDICT(PASSED)));
	assert_int_equal(wait_run(c, run)->verdict, VERDICT(PASSED));
}

static void a_verdict_that_is_no_runners_to_give_is_an_error_of_its_own(void **state)
{
	owned(peer) *c = client(ROLE(SUBMITTER));
	owned(peer) *r = runner("box", 1, 1);
	uint64_t run = one_job(c, r);

	(void)state;
	assert_true(finish(r, take(r), VERDICT(SKIPPED)));
	assert_true(finish(r, take(r), VERDICT(PASSED)));
	assert_int_equal(job_named(wait_run(c, run), "test")->attempts[0]->verdict,
			 VERDICT(ERRORED));
}

#define QUESTIONS 50

static void who_asks_much_waits_for_others_between_the_questions(void **state)
{
	owned(peer) *asking = client(ROLE(READER));
	owned(peer) *c = client(ROLE(SUBMITTER));
	Cupel__List list = CUPEL__LIST__INIT;
	size_t last = 0;

	(void)state;
	for (unsigned i = 0; i < QUESTIONS; i++)
		peer_send(asking, FRAME_LIST, &list.base);
	(void)submit(c); /* which comes after all of the questions */
	for (unsigned i = 0; i < QUESTIONS; i++)
		last = ((const Cupel__Runs *)peer_wait(asking, FRAME_RUNS))->n_runs;
	assert_int_equal(last, 1);
}

#define test(name)        cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define test_leases(name) cmocka_unit_test_setup_teardown(name, rig_setup_leases, rig_teardown)
#define test_accept(name) cmocka_unit_test_setup_teardown(name, rig_setup_accept, rig_teardown)
#define test_limits(name) cmocka_unit_test_setup_teardown(name, rig_setup_limits, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_run_goes_from_submit_to_verdict),
		test(needs_hold_release_and_skip),
		test(a_plan_that_could_never_end_is_errored),
		test(an_event_is_one_run_however_often_it_comes),
		test(a_log_arrives_by_offset_and_byte_exact),
		test(a_result_waits_for_its_log),
		test(a_log_that_differs_is_told),
		test(a_log_beyond_the_output_limit_is_refused),
		test(who_follows_sees_it_grow_from_before_the_start),
		test_leases(a_silent_runner_loses_its_job_by_the_lease),
		test(heartbeats_keep_the_lease),
		test(a_new_incarnation_loses_all_at_once),
		test(the_same_incarnation_goes_on_where_it_was),
		test(two_lost_runners_are_poison_until_a_person_retries),
		test(the_newer_connection_of_a_name_wins),
		test(a_held_attempt_that_is_over_is_dropped),
		test(a_time_out_is_tried_once_on_another_runner),
		test(a_second_time_out_is_the_verdict),
		test(without_another_runner_a_time_out_is_the_verdict),
		test_limits(the_dispatchers_own_clock_holds_the_wall_limit),
		test_limits(the_dispatchers_own_clock_holds_the_idle_limit),
		test_limits(a_runner_that_grants_no_limit_or_more_is_held_to_the_wish),
		test_limits(finishing_is_not_prolonged_by_nothing_new),
		test_limits(preparing_for_too_long_goes_elsewhere),
		test_accept(who_never_accepts_is_asked_three_times_in_all),
		test(a_refusal_goes_to_another_and_is_told),
		test(two_that_are_declined_are_not_asked_for_in_turn),
		test(failures_are_retried_when_the_job_file_says_so),
		test(cancelling_ends_everything_at_once),
		test(a_retry_takes_what_failed_and_what_was_skipped_for_it),
		test(a_draining_runner_gets_nothing_new),
		test(limits_reach_the_runner_as_they_were_said),
		test(a_restart_goes_on_with_what_runs_and_what_waits),
		test(a_new_database_does_not_show_the_logs_of_the_old_one),
		test_leases(after_a_restart_a_runner_has_a_lease_of_grace),
		test(a_result_said_twice_is_one_verdict),
		test(a_runner_that_says_back_why_it_stopped_adds_nothing),
		test(a_state_directory_in_use_is_refused_with_the_pid),
		test(an_unknown_type_is_an_error_and_the_connection_stays),
		test(garbage_in_a_known_type_is_an_error_and_the_connection_stays),
		test(a_role_does_only_what_is_its_own),
		test(who_speaks_before_its_hello_is_closed),
		test(a_frame_before_the_hello_is_small),
		cmocka_unit_test_setup_teardown(a_user_who_may_be_nothing_is_not_listened_to,
						rig_setup_users, rig_teardown),
		test(a_runner_cannot_touch_anothers_attempt),
		test(a_verdict_that_is_no_runners_to_give_is_an_error_of_its_own),
		test(who_asks_much_waits_for_others_between_the_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
