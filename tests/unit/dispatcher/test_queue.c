#include "dispatcher/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct queue q;
static struct runners all;

static int setup(void **state)
{
	(void)state;
	queue_init(&q);
	runners_init(&all);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	queue_done(&q);
	runners_done(&all);
	return 0;
}

/* A connected runner; the session is only compared with NULL here. */
static struct runner *runner(const char *name, unsigned slots, const char *label)
{
	Cupel__RunnerInfo info = CUPEL__RUNNER_INFO__INIT;
	Cupel__Capacity capacity = CUPEL__CAPACITY__INIT;
	char *labels[] = {(char *)label};
	struct runner *r = runners_add(&all, name);

	capacity.slots = slots;
	info.capacity = &capacity;
	info.n_labels = label ? 1 : 0;
	info.labels = labels;
	assert_int_equal(runner_describe(&all, r, "test", &info), 0);
	r->session = (struct session *)r;
	runner_update(&all, r);
	return r;
}

static void put_job(uint64_t id, const char *label, bool urgent, struct runner *avoid)
{
	Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;
	char *labels[] = {(char *)label};

	spec.n_labels = label ? 1 : 0;
	spec.labels = labels;
	assert_int_equal(queue_put(&q, id, 1, &spec, urgent, avoid), 0);
}

/* The next one's id, 0: none; it takes a slot of *r. */
static uint64_t next(struct runner **r)
{
	struct runner *on = NULL;
	struct waiting *w = queue_next(&q, &all, 1000, &on);
	uint64_t id = w ? w->job : 0;

	if (w) {
		*(w->plan ? &on->plans : &on->jobs) += 1;
		runner_update(&all, on);
	}
	if (r)
		*r = on;
	free(w);
	return id;
}

static const char *why(uint64_t job)
{
	static char text[1000];
	owned_buffer out = {0};

	queue_why(&q, &all, job, 1000, &out);
	(void)snprintf(text, sizeof(text), "%s", out.data ? out.data : "");
	return text;
}

static void plans_then_requeued_then_by_age(void **state)
{
	(void)state;
	(void)runner("r", 9, NULL);
	put_job(5, NULL, false, NULL);
	put_job(3, NULL, false, NULL);
	put_job(8, NULL, true, NULL);
	put_job(6, "x", false, NULL);
	assert_int_equal(queue_put(&q, 7, 1, NULL, false, NULL), 0);
	assert_int_equal(next(NULL), 7);
	assert_int_equal(next(NULL), 8);
	assert_int_equal(next(NULL), 3);
	assert_int_equal(next(NULL), 5);
	assert_int_equal(next(NULL), 0); /* nobody has the label */
	assert_int_equal(queue_length(&q), 1);
}

static void slots_are_the_limit_and_plans_take_none(void **state)
{
	struct runner *r = runner("r", 1, NULL);

	(void)state;
	put_job(1, NULL, false, NULL);
	put_job(2, NULL, false, NULL);
	for (uint64_t id = 10; id < 16; id++)
		assert_int_equal(queue_put(&q, id, 1, NULL, false, NULL), 0);
	for (uint64_t id = 10; id < 14; id++)
		assert_int_equal(next(NULL), id); /* 2 * slots + 2 plans */
	assert_int_equal(next(NULL), 1);
	assert_int_equal(next(NULL), 0);
	assert_string_equal(why(2), "r is busy (1 of 1 slots)");
	r->jobs--;
	runner_update(&all, r);
	assert_int_equal(next(NULL), 2);
}

static void labels_must_all_be_there(void **state)
{
	struct runner *arm = runner("arm", 2, "arm"), *on;

	(void)state;
	(void)runner("plain", 2, NULL);
	put_job(1, "arm", false, NULL);
	put_job(2, "gpu", false, NULL);
	assert_int_equal(next(&on), 1);
	assert_ptr_equal(on, arm);
	assert_int_equal(next(NULL), 0);
	assert_string_equal(why(2), "no connected runner has the labels gpu");
}

static void the_runner_with_most_room_gets_it(void **state)
{
	struct runner *small = runner("small", 1, NULL), *large = runner("large", 3, NULL), *on;

	(void)state;
	(void)small;
	put_job(1, NULL, false, NULL);
	assert_int_equal(next(&on), 1);
	assert_ptr_equal(on, large);
}

static void another_runner_is_preferred_also_when_it_is_busy(void **state)
{
	struct runner *a = runner("a", 1, NULL), *b = runner("b", 1, NULL), *on;

	(void)state;
	put_job(1, NULL, false, NULL);
	assert_int_equal(next(&on), 1);
	if (on != b) { /* let it be `b` that is busy */
		a->jobs = 0;
		b->jobs = 1;
		runner_update(&all, a);
		runner_update(&all, b);
	}
	put_job(2, NULL, true, a);
	put_job(3, NULL, false, NULL);
	assert_int_equal(next(&on), 3); /* the one behind it isn't held up */
	assert_ptr_equal(on, a);
	assert_int_equal(next(NULL), 0);
	b->jobs = 0;
	runner_update(&all, b);
	assert_int_equal(next(&on), 2);
	assert_ptr_equal(on, b);
}

static void where_there_is_no_other_the_same_runner_gets_it_again(void **state)
{
	struct runner *a = runner("a", 1, NULL), *on;

	(void)state;
	put_job(1, NULL, true, a);
	assert_int_equal(next(&on), 1);
	assert_ptr_equal(on, a);
}

static void a_refusal_holds_until_something_is_freed(void **state)
{
	struct runner *a = runner("a", 4, NULL);

	(void)state;
	put_job(1, NULL, false, NULL);
	put_job(2, NULL, false, NULL);
	queue_declined(&q, 1, a, false, "memory is short", 1000);
	assert_int_equal(next(NULL), 0); /* nothing like it either */
	assert_string_equal(why(2), "a declined: memory is short");
	queue_reopen(&q, a, false);
	assert_int_equal(next(NULL), 1);
}

static void never_means_until_the_next_hello(void **state)
{
	struct runner *a = runner("a", 4, NULL);

	(void)state;
	put_job(1, NULL, false, NULL);
	queue_declined(&q, 1, a, true, "no network: host here", 1000);
	queue_reopen(&q, a, false);
	assert_int_equal(next(NULL), 0);
	assert_string_equal(why(1), "a declined: no network: host here");
	queue_reopen(&q, a, true);
	assert_int_equal(next(NULL), 1);
}

static void what_one_wish_was_refused_for_stops_no_other_job(void **state)
{
	Cupel__Limits limits[] = {CUPEL__LIMITS__INIT, CUPEL__LIMITS__INIT, CUPEL__LIMITS__INIT,
				  CUPEL__LIMITS__INIT};
	struct runner *a = runner("a", 4, NULL);

	(void)state;
	limits[0].disk = 1;
	limits[1].inodes = 1;
	limits[2].cpu_time_ms = 1;
	limits[3].files = 1;
	for (uint64_t id = 1; id <= 4; id++) {
		Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;

		spec.limits = &limits[id - 1];
		assert_int_equal(queue_put(&q, id, 1, &spec, false, NULL), 0);
		queue_declined(&q, id, a, true, "that limit can't be held here", 1000);
	}
	put_job(5, NULL, false, NULL);
	assert_int_equal(next(NULL), 5);
	assert_int_equal(next(NULL), 0);
}

static void a_refusal_wears_off(void **state)
{
	struct runner *a = runner("a", 4, NULL), *on;
	struct waiting *w;

	(void)state;
	put_job(1, NULL, false, NULL);
	queue_declined(&q, 1, a, false, "disk low", 1000);
	assert_null(queue_next(&q, &all, 1000 + DECLINE_REST_MS - 1, &on));
	w = queue_next(&q, &all, 1000 + DECLINE_REST_MS, &on);
	assert_non_null(w);
	free(w);
}

static void draining_and_pressure_keep_work_away_and_say_so(void **state)
{
	struct runner *a = runner("a", 4, NULL);

	(void)state;
	put_job(1, NULL, false, NULL);
	a->pressure = strdup("disk below 10%");
	runner_update(&all, a);
	assert_int_equal(next(NULL), 0);
	assert_string_equal(why(1), "a takes nothing now: disk below 10%");
	a->draining = true;
	all.generation++;
	runner_update(&all, a);
	assert_string_equal(why(1), "every runner that fits is draining");
	a->session = NULL;
	runner_update(&all, a);
	assert_string_equal(why(1), "no runner is connected");
}

static void dropped_jobs_are_gone(void **state)
{
	(void)state;
	(void)runner("r", 4, NULL);
	put_job(1, NULL, false, NULL);
	put_job(2, NULL, false, NULL);
	assert_true(queue_drop(&q, 1));
	assert_false(queue_drop(&q, 1));
	assert_int_equal(next(NULL), 2);
	assert_int_equal(queue_length(&q), 0);
}

static void ten_thousand_of_many_kinds_come_out_in_order(void **state)
{
	struct runner *r = runner("r", 100000, "l3");
	char label[16];
	uint64_t last = 0, id;
	unsigned count = 0;

	(void)state;
	for (uint64_t i = 1; i <= 10000; i++) {
		(void)snprintf(label, sizeof(label), "l%d", (int)(i % 7));
		put_job(i, label, false, NULL);
	}
	while ((id = next(NULL))) {
		assert_true(id > last);
		last = id;
		count++;
	}
	assert_int_equal(count, 10000 / 7 + 1);
	assert_int_equal(r->jobs, count);
}

/* --- the map
 * ---------------------------------------------------------------------------------------------- */

static void a_map_remembers_what_a_list_would(void **state)
{
	enum { KEYS = 512 };
	bool there[KEYS] = {0};
	struct map m = {0};
	unsigned seed = 42;
	size_t count = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		unsigned key = (unsigned)rand_r(&seed) % KEYS;

		if (rand_r(&seed) % 2) {
			assert_int_equal(map_put(&m, (uint64_t)key << 40, &there[key]), 0);
			count += !there[key];
			there[key] = true;
		} else {
			assert_ptr_equal(map_take(&m, (uint64_t)key << 40),
					 there[key] ? &there[key] : NULL);
			count -= there[key];
			there[key] = false;
		}
		assert_int_equal(m.count, count);
	}
	for (unsigned key = 0; key < KEYS; key++)
		assert_ptr_equal(map_get(&m, (uint64_t)key << 40), there[key] ? &there[key] : NULL);
	map_done(&m);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(plans_then_requeued_then_by_age),
		test(slots_are_the_limit_and_plans_take_none),
		test(labels_must_all_be_there),
		test(the_runner_with_most_room_gets_it),
		test(another_runner_is_preferred_also_when_it_is_busy),
		test(where_there_is_no_other_the_same_runner_gets_it_again),
		test(a_refusal_holds_until_something_is_freed),
		test(never_means_until_the_next_hello),
		test(what_one_wish_was_refused_for_stops_no_other_job),
		test(a_refusal_wears_off),
		test(draining_and_pressure_keep_work_away_and_say_so),
		test(dropped_jobs_are_gone),
		test(ten_thousand_of_many_kinds_come_out_in_order),
		test(a_map_remembers_what_a_list_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
