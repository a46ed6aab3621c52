#include "dispatcher/transitions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define STATE(s)   CUPEL__STATE__STATE_##s
#define VERDICT(v) CUPEL__VERDICT__VERDICT_##v

/* Every pair, written down a second time and from the other side: N no, Y yes.
 * Columns: NONE HELD QUEUED ASSIGNED PREPARING RUNNING FINISHING ENDED */
static const char *const job_pairs[] = {
	"NYYNNNNN", /* NONE */
	"NNYNNNNY", /* HELD */
	"NNNYNNNY", /* QUEUED */
	"NNYNYYYY", /* ASSIGNED */
	"NNYNNYYY", /* PREPARING */
	"NNYNNNYY", /* RUNNING */
	"NNYNNNNY", /* FINISHING */
	"NYYNNNNN", /* ENDED */
};
static const char *const attempt_pairs[] = {
	"NNNYNNNN", "NNNNNNNN", "NNNNNNNN", "NNNNYYYY",
	"NNNNNYYY", "NNNNNNYY", "NNNNNNNY", "NNNNNNNN",
};

static void check_all(enum transition_of what, const char *const *pairs)
{
	for (int from = 0; from <= STATE(ENDED); from++)
		for (int to = 0; to <= STATE(ENDED); to++)
			if (transition_exists(what, (Cupel__State)from, (Cupel__State)to) !=
			    (pairs[from][to] == 'Y'))
				fail_msg("%s: %s -> %s", what == TRANSITION_JOB ? "job" : "attempt",
					 state_word((Cupel__State)from),
					 state_word((Cupel__State)to));
}

static void every_move_of_a_job_is_in_the_table(void **state)
{
	(void)state;
	check_all(TRANSITION_JOB, job_pairs);
}

static void every_move_of_an_attempt_is_in_the_table(void **state)
{
	(void)state;
	check_all(TRANSITION_ATTEMPT, attempt_pairs);
}

static void states_that_are_none_have_no_moves(void **state)
{
	(void)state;
	assert_false(transition_exists(TRANSITION_JOB, (Cupel__State)8, STATE(ENDED)));
	assert_false(transition_exists(TRANSITION_JOB, STATE(QUEUED), (Cupel__State)-1));
	assert_false(transition_exists(TRANSITION_ATTEMPT, STATE(RUNNING), (Cupel__State)31));
}

static void an_attempt_moves_only_where_its_job_may(void **state)
{
	(void)state;
	for (int from = 1; from <= STATE(ENDED); from++)
		for (int to = 1; to <= STATE(ENDED); to++)
			if (transition_exists(TRANSITION_ATTEMPT, (Cupel__State)from,
					      (Cupel__State)to))
				assert_true(transition_exists(TRANSITION_JOB, (Cupel__State)from,
							      (Cupel__State)to));
}

static const struct retry_wish unsaid = {RETRY_UNSAID, RETRY_UNSAID, RETRY_UNSAID, RETRY_UNSAID};

static void a_lost_runner_requeues_until_it_is_poison(void **state)
{
	(void)state;
	for (unsigned runners = 1; runners <= 4; runners++)
		for (unsigned lost = runners; lost <= 8; lost++) {
			struct past past = {.lost_runners = runners, .lost = lost};
			struct follow f = follow_end(VERDICT(LOST), false, &past, &unsaid, true);

			if (runners >= 2 || lost >= POISON_LOSSES)
				assert_int_equal(f.what, FOLLOW_POISON);
			else
				assert_true(f.what == FOLLOW_QUEUE && f.elsewhere);
		}
}

static void infrastructure_gets_three_attempts_in_all(void **state)
{
	const enum follow_what expected[] = {FOLLOW_QUEUE, FOLLOW_QUEUE, FOLLOW_USED_UP,
					     FOLLOW_USED_UP};

	(void)state;
	for (unsigned n = 1; n <= 4; n++) {
		struct past past = {.errored = n};

		assert_int_equal(follow_end(VERDICT(ERRORED), true, &past, &unsaid, true).what,
				 expected[n - 1]);
		assert_int_equal(follow_end(VERDICT(ERRORED), false, &past, &unsaid, true).what,
				 FOLLOW_END);
	}
}

static void a_job_file_may_say_how_often_errors_are_retried(void **state)
{
	const struct retry_wish never = {RETRY_UNSAID, RETRY_UNSAID, RETRY_UNSAID, 0};
	struct past past = {.errored = 1};

	(void)state;
	assert_int_equal(follow_end(VERDICT(ERRORED), true, &past, &never, true).what,
			 FOLLOW_USED_UP);
}

static void a_time_out_goes_once_to_another_runner(void **state)
{
	const struct retry_wish zero = {.timed_out = 0}, two = {.timed_out = 2};
	struct past first = {.timed_out = 1}, second = {.timed_out = 2}, third = {.timed_out = 3};
	struct follow f = follow_end(VERDICT(TIMED_OUT), false, &first, &unsaid, true);

	(void)state;
	assert_true(f.what == FOLLOW_QUEUE && f.elsewhere);
	assert_int_equal(follow_end(VERDICT(TIMED_OUT), false, &first, &unsaid, false).what,
			 FOLLOW_END);
	assert_int_equal(follow_end(VERDICT(TIMED_OUT), false, &second, &unsaid, true).what,
			 FOLLOW_END);
	assert_int_equal(follow_end(VERDICT(TIMED_OUT), false, &first, &zero, true).what,
			 FOLLOW_END);
	assert_int_equal(follow_end(VERDICT(TIMED_OUT), false, &second, &two, false).what,
			 FOLLOW_QUEUE);
	assert_int_equal(follow_end(VERDICT(TIMED_OUT), false, &third, &two, true).what,
			 FOLLOW_END);
}

static void failed_and_killed_are_retried_only_on_wish(void **state)
{
	const struct retry_wish once = {
		.failed = 1, .killed = 1, .timed_out = RETRY_UNSAID, .errored = RETRY_UNSAID};
	struct past first = {.failed = 1, .killed = 1}, second = {.failed = 2, .killed = 2};
	const Cupel__Verdict both[] = {VERDICT(FAILED), VERDICT(KILLED)};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(follow_end(both[i], false, &first, &unsaid, true).what,
				 FOLLOW_END);
		assert_int_equal(follow_end(both[i], false, &first, &once, true).what,
				 FOLLOW_QUEUE);
		assert_int_equal(follow_end(both[i], false, &second, &once, true).what, FOLLOW_END);
	}
}

static void what_a_person_or_a_pass_ended_stays_ended(void **state)
{
	const struct retry_wish much = {10, 10, 10, 10};
	const Cupel__Verdict finals[] = {VERDICT(PASSED), VERDICT(CANCELLED), VERDICT(SUPERSEDED),
					 VERDICT(SKIPPED)};
	struct past past = {0};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(follow_end(finals[i], true, &past, &much, true).what, FOLLOW_END);
}

static void a_refusal_requeues_without_blame(void **state)
{
	struct past past = {.errored = 9, .lost = 9, .lost_runners = 9};
	struct follow f = follow_end(VERDICT(DECLINED), false, &past, &unsaid, false);

	(void)state;
	assert_true(f.what == FOLLOW_QUEUE && !f.elsewhere);
}

static void a_pass_is_flaky_only_after_the_job_itself_went_wrong(void **state)
{
	const struct past clean = {.errored = 2, .lost = 1, .lost_runners = 1};

	(void)state;
	assert_false(past_makes_flaky(&clean));
	assert_true(past_makes_flaky(&(struct past){.failed = 1}));
	assert_true(past_makes_flaky(&(struct past){.timed_out = 1}));
	assert_true(past_makes_flaky(&(struct past){.killed = 1}));
}

static void wishes_are_read_by_name_and_bounded(void **state)
{
	Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;
	Cupel__JobSpec__RetryEntry failed = CUPEL__JOB_SPEC__RETRY_ENTRY__INIT;
	Cupel__JobSpec__RetryEntry odd = CUPEL__JOB_SPEC__RETRY_ENTRY__INIT;
	Cupel__JobSpec__RetryEntry *entries[] = {&failed, &odd};
	struct retry_wish wish;

	(void)state;
	failed.key = (char *)"failed";
	failed.value = 4000000000u;
	odd.key = (char *)"passed";
	odd.value = 3;
	spec.n_retry = 2;
	spec.retry = entries;
	retry_wish_read(&spec, &wish);
	assert_int_equal(wish.failed, RETRY_MAX);
	assert_int_equal(wish.killed, RETRY_UNSAID);
	assert_int_equal(wish.timed_out, RETRY_UNSAID);
	retry_wish_read(NULL, &wish);
	assert_int_equal(wish.failed, RETRY_UNSAID);
}

static void the_worst_verdict_is_the_runs(void **state)
{
	const Cupel__Verdict mild_to_worst[] = {
		VERDICT(NONE),       VERDICT(SKIPPED),   VERDICT(PASSED),
		VERDICT(SUPERSEDED), VERDICT(CANCELLED), VERDICT(FAILED),
		VERDICT(TIMED_OUT),  VERDICT(KILLED),    VERDICT(ERRORED)};

	(void)state;
	for (size_t a = 0; a < 9; a++)
		for (size_t b = 0; b < 9; b++)
			assert_int_equal(verdict_worse(mild_to_worst[a], mild_to_worst[b]),
					 mild_to_worst[a > b ? a : b]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_move_of_a_job_is_in_the_table),
		cmocka_unit_test(every_move_of_an_attempt_is_in_the_table),
		cmocka_unit_test(states_that_are_none_have_no_moves),
		cmocka_unit_test(an_attempt_moves_only_where_its_job_may),
		cmocka_unit_test(a_lost_runner_requeues_until_it_is_poison),
		cmocka_unit_test(infrastructure_gets_three_attempts_in_all),
		cmocka_unit_test(a_job_file_may_say_how_often_errors_are_retried),
		cmocka_unit_test(a_time_out_goes_once_to_another_runner),
		cmocka_unit_test(failed_and_killed_are_retried_only_on_wish),
		cmocka_unit_test(what_a_person_or_a_pass_ended_stays_ended),
		cmocka_unit_test(a_refusal_requeues_without_blame),
		cmocka_unit_test(a_pass_is_flaky_only_after_the_job_itself_went_wrong),
		cmocka_unit_test(wishes_are_read_by_name_and_bounded),
		cmocka_unit_test(the_worst_verdict_is_the_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
