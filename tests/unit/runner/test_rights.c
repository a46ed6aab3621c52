/* What a job gets, how long it may go on, how much of its log may be sent. */
#include "runner/ceiling.h"
#include "runner/lease.h"
#include "runner/window.h"
#include "sandbox/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL (~0u)
#define MIB ((uint64_t)1 << 20)

static struct owner_limits owner_of(uint32_t slots)
{
	struct owner_limits owner = {.slots = slots};

	cupel__limits__init(&owner.ceiling);
	return owner;
}

/* --- ceilings
 * ------------------------------------------------------------------------------------- */

static void the_least_of_wish_and_ceiling_holds(void **state)
{
	struct owner_limits owner = owner_of(2);
	struct taken taken = {0};
	Cupel__Limits wish = CUPEL__LIMITS__INIT, got;

	(void)state;
	owner.ceiling.wall_ms = 1000;
	owner.ceiling.memory = 512 * MIB;
	wish.wall_ms = 3600000;
	wish.memory = 64 * MIB;
	wish.tasks = 10;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.wall_ms, 1000);
	assert_int_equal(got.memory, 64 * MIB);
	assert_int_equal(got.tasks, 10);
}

static void who_asks_for_nothing_has_defaults_under_the_ceiling(void **state)
{
	struct owner_limits owner = owner_of(2);
	struct taken taken = {0};
	Cupel__Limits got;

	(void)state;
	owner.ceiling.idle_ms = 5;
	assert_int_equal(ceiling_grant(NULL, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.wall_ms, 3600000);
	assert_int_equal(got.idle_ms, 5);
	assert_int_equal(got.output, 64 * MIB);
	assert_int_equal(got.tasks, 2048);
	assert_int_equal(got.memory, 0);
}

static void no_wish_is_beyond_all_measure_where_the_owner_said_nothing(void **state)
{
	struct owner_limits owner = owner_of(2);
	struct taken taken = {0};
	Cupel__Limits wish = CUPEL__LIMITS__INIT, got;

	(void)state;
	wish.wall_ms = wish.idle_ms = wish.output = (uint64_t)1 << 50;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.wall_ms, 24 * 3600000);
	assert_int_equal(got.idle_ms, 24 * 3600000);
	assert_int_equal(got.output, 1024 * MIB);
	owner.ceiling.wall_ms = owner.ceiling.idle_ms = 48 * 3600000;
	owner.ceiling.output = 4096 * MIB;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.wall_ms, 48 * 3600000);
	assert_int_equal(got.idle_ms, 48 * 3600000);
	assert_int_equal(got.output, 4096 * MIB);
}

static void no_default_is_given_that_cannot_be_held(void **state)
{
	struct owner_limits owner = owner_of(2);
	struct taken taken = {0};
	Cupel__Limits got;

	(void)state;
	assert_int_equal(ceiling_grant(NULL, &owner, &taken, 0, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.tasks, 0);
	assert_int_equal(got.wall_ms, 3600000);
}

static void a_wish_that_cannot_be_held_is_refused_for_ever(void **state)
{
	struct owner_limits owner = owner_of(2);
	struct taken taken = {0};
	Cupel__Limits wish = CUPEL__LIMITS__INIT, got;
	struct error why = {0};

	(void)state;
	wish.memory = MIB;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, SANDBOX_CAN_TASKS, &got, &why),
			 CEILING_NEVER);
	assert_non_null(strstr(why.text, "memory"));
}

static void jobs_without_wishes_share_the_box(void **state)
{
	struct owner_limits owner = owner_of(4);
	struct taken taken = {0};
	Cupel__Limits got;

	(void)state;
	owner.memory = 4096 * MIB;
	owner.cpu_milli = 2000;
	owner.tasks = 400;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ceiling_grant(NULL, &owner, &taken, ALL, &got, NULL),
				 CEILING_GRANTED);
		assert_int_equal(got.memory, 1024 * MIB);
		assert_int_equal(got.cpu_milli, 500);
		assert_int_equal(got.tasks, 100);
		ceiling_take(&taken, &got);
	}
	assert_int_equal(ceiling_grant(NULL, &owner, &taken, ALL, &got, NULL), CEILING_NOT_NOW);
}

static void what_is_not_left_must_wait(void **state)
{
	struct owner_limits owner = owner_of(4);
	struct taken taken = {0};
	Cupel__Limits wish = CUPEL__LIMITS__INIT, got;
	Cupel__Capacity unused;
	struct error why = {0};

	(void)state;
	owner.memory = 1024 * MIB;
	wish.memory = 600 * MIB;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	ceiling_take(&taken, &got);
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, &why), CEILING_NOT_NOW);
	assert_string_equal(why.text, "it needs 600M memory, of which 424M are left");
	ceiling_unused(&owner, &taken, &unused);
	assert_int_equal(unused.memory, 424 * MIB);
	assert_int_equal(unused.slots, 3);
}

static void more_than_the_box_has_is_the_whole_box(void **state)
{
	struct owner_limits owner = owner_of(4);
	struct taken taken = {0};
	Cupel__Limits wish = CUPEL__LIMITS__INIT, got;

	(void)state;
	owner.memory = 1024 * MIB;
	wish.memory = 8192 * MIB;
	assert_int_equal(ceiling_grant(&wish, &owner, &taken, ALL, &got, NULL), CEILING_GRANTED);
	assert_int_equal(got.memory, 1024 * MIB);
}

static void an_owners_limit_that_cannot_be_held_is_a_refusal_to_start(void **state)
{
	struct owner_limits owner = owner_of(1);
	struct error err = {0};

	(void)state;
	assert_int_equal(ceiling_check(&owner, 0, NULL), 0);
	owner.ceiling.wall_ms = 1000; /* the runner's own clock holds it */
	assert_int_equal(ceiling_check(&owner, 0, NULL), 0);
	owner.cpu_milli = 1500;
	assert_int_equal(ceiling_check(&owner, SANDBOX_CAN_MEMORY, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "cpus"));
	assert_int_equal(ceiling_check(&owner, SANDBOX_CAN_CPU, NULL), 0);
}

/* --- the lease
 * ------------------------------------------------------------------------------------ */

static void a_lease_freezes_at_five_sixths_and_kills_at_its_end(void **state)
{
	struct lease l = {0};

	(void)state;
	lease_renew(&l, 1000, 60000);
	assert_int_equal(lease_due(&l, 1000), LEASE_GO_ON);
	assert_int_equal(lease_wait(&l, 1000), 50000);
	assert_int_equal(lease_due(&l, 50999), LEASE_GO_ON);
	assert_int_equal(lease_wait(&l, 50999), 1);
	assert_int_equal(lease_due(&l, 51000), LEASE_FREEZE);
	assert_int_equal(lease_wait(&l, 51000), 10000);
	assert_int_equal(lease_due(&l, 60999), LEASE_FREEZE);
	assert_int_equal(lease_due(&l, 61000), LEASE_KILL);
	assert_int_equal(lease_wait(&l, 61000), -1);
}

static void a_renewal_thaws_and_an_older_one_changes_nothing(void **state)
{
	struct lease l = {0};

	(void)state;
	lease_renew(&l, 0, 600);
	assert_int_equal(lease_due(&l, 500), LEASE_FREEZE);
	lease_renew(&l, 400, 600);
	assert_int_equal(lease_due(&l, 500), LEASE_GO_ON);
	lease_renew(&l, 100, 600);
	assert_int_equal(lease_due(&l, 899), LEASE_GO_ON);
}

static void no_lease_is_for_ever(void **state)
{
	struct lease l = {0};

	(void)state;
	assert_int_equal(lease_due(&l, INT64_MAX), LEASE_GO_ON);
	assert_int_equal(lease_wait(&l, 5), -1);
}

/* --- the log's credit
 * ------------------------------------------------------------------------------ */

/* A dispatcher that stores what it is sent, and answers as the real one does. */
struct fake {
	uint64_t length, durable;
};

static void fake_receive(struct fake *f, struct window *w, size_t max)
{
	size_t n = window_next(w, max);

	if (!n)
		return;
	assert_true(w->sent + n <= w->limit);
	assert_true(w->sent + n <= w->length);
	if (w->sent <= f->length && w->sent + n > f->length)
		f->length = w->sent + n; /* overlap is skipped, a gap isn't stored */
	window_sent(w, n);
}

static void a_log_is_sent_within_its_credit(void **state)
{
	struct window w = {.length = 20 * MIB};
	struct fake f = {0};

	(void)state;
	window_reset(&w, 0);
	while (window_next(&w, 256 << 10))
		fake_receive(&f, &w, 256 << 10);
	assert_int_equal(w.sent, WINDOW_FIRST_CREDIT);
	window_ack(&w, 3 * MIB, 2 * MIB);
	while (window_next(&w, 256 << 10))
		fake_receive(&f, &w, 256 << 10);
	assert_int_equal(w.sent, 5 * MIB);
	while (!window_all_sent(&w)) {
		window_ack(&w, f.length, 4 * MIB);
		while (window_next(&w, 256 << 10))
			fake_receive(&f, &w, 256 << 10);
	}
	assert_int_equal(f.length, 20 * MIB);
	assert_int_equal(window_next(&w, 1), 0);
}

static void a_dispatcher_that_lost_bytes_gets_them_again(void **state)
{
	struct window w = {.length = 3 * MIB};
	struct fake f = {0};

	(void)state;
	window_reset(&w, 0);
	fake_receive(&f, &w, MIB);
	f.length = 0; /* its disk was full: the bytes are gone */
	fake_receive(&f, &w, MIB);
	assert_int_equal(f.length, 0);
	window_ack(&w, 0, 4 * MIB); /* the answer to the gap */
	while (window_next(&w, MIB))
		fake_receive(&f, &w, MIB);
	assert_int_equal(f.length, 3 * MIB);
}

static void an_acknowledgement_while_more_is_under_way_rewinds_nothing(void **state)
{
	struct window w = {.length = 3 * MIB};

	(void)state;
	window_reset(&w, 0);
	window_sent(&w, 2 * MIB);
	window_ack(&w, MIB, 4 * MIB);
	assert_int_equal(w.sent, 2 * MIB);
}

static void a_new_connection_goes_on_at_what_is_durable(void **state)
{
	struct window w = {.length = 9 * MIB};

	(void)state;
	window_reset(&w, 0);
	window_sent(&w, 4 * MIB);
	window_reset(&w, MIB);
	assert_int_equal(w.sent, MIB);
	assert_int_equal(window_next(&w, SIZE_MAX), 4 * MIB);
	window_ack(&w, 8 * MIB, 0); /* what the connection before had brought */
	assert_int_equal(w.sent, 8 * MIB);
	assert_int_equal(window_next(&w, SIZE_MAX), 0);
}

static void a_credit_beyond_all_numbers_is_no_overflow(void **state)
{
	struct window w = {.length = MIB};

	(void)state;
	window_reset(&w, 0);
	window_ack(&w, 10, UINT64_MAX);
	assert_int_equal(w.limit, UINT64_MAX);
	assert_int_equal(window_next(&w, SIZE_MAX), MIB - 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_of_wish_and_ceiling_holds),
		cmocka_unit_test(who_asks_for_nothing_has_defaults_under_the_ceiling),
		cmocka_unit_test(no_wish_is_beyond_all_measure_where_the_owner_said_nothing),
		cmocka_unit_test(no_default_is_given_that_cannot_be_held),
		cmocka_unit_test(a_wish_that_cannot_be_held_is_refused_for_ever),
		cmocka_unit_test(jobs_without_wishes_share_the_box),
		cmocka_unit_test(what_is_not_left_must_wait),
		cmocka_unit_test(more_than_the_box_has_is_the_whole_box),
		cmocka_unit_test(an_owners_limit_that_cannot_be_held_is_a_refusal_to_start),
		cmocka_unit_test(a_lease_freezes_at_five_sixths_and_kills_at_its_end),
		cmocka_unit_test(a_renewal_thaws_and_an_older_one_changes_nothing),
		cmocka_unit_test(no_lease_is_for_ever),
		cmocka_unit_test(a_log_is_sent_within_its_credit),
		cmocka_unit_test(a_dispatcher_that_lost_bytes_gets_them_again),
		cmocka_unit_test(an_acknowledgement_while_more_is_under_way_rewinds_nothing),
		cmocka_unit_test(a_new_connection_goes_on_at_what_is_durable),
		cmocka_unit_test(a_credit_beyond_all_numbers_is_no_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
