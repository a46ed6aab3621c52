#include "dispatcher/timers.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 200

static struct {
	struct event_base *base;
	struct timers *timers;
	struct timer timer[COUNT];
	int64_t fired[COUNT]; /* in which order */
	int64_t count, late_ms;
	unsigned turns;
} it;

static void fired(void *context)
{
	size_t i = (size_t)((struct timer *)context - it.timer);
	int64_t late = clock_boot_ms() - it.timer[i].at_ms;

	assert_true(late >= 0);
	it.late_ms = late > it.late_ms ? late : it.late_ms;
	it.fired[i] = ++it.count;
}

static void turn(void *context)
{
	(void)context;
	it.turns++;
}

static int setup(void **state)
{
	(void)state;
	memset(&it, 0, sizeof(it));
	it.base = event_base_new();
	for (size_t i = 0; i < COUNT; i++)
		it.timer[i] = (struct timer){.expired = fired, .context = &it.timer[i]};
	return timers_new(it.base, turn, NULL, &it.timers, NULL);
}

static int teardown(void **state)
{
	(void)state;
	timers_free(it.timers);
	event_base_free(it.base);
	return 0;
}

static void run_until(int64_t count)
{
	while (it.count < count)
		assert_int_equal(event_base_loop(it.base, EVLOOP_ONCE), 0);
}

static void they_expire_in_order_and_never_early(void **state)
{
	int64_t now = clock_boot_ms();
	unsigned seed = 7;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(timers_set(it.timers, &it.timer[i], now + rand_r(&seed) % 40), 0);
	run_until(COUNT);
	for (size_t i = 0; i < COUNT; i++)
		for (size_t j = 0; j < COUNT; j++)
			if (it.timer[i].at_ms < it.timer[j].at_ms)
				assert_true(it.fired[i] < it.fired[j]);
	assert_true(it.turns > 0);
}

static void cancelled_and_moved_ones_obey(void **state)
{
	int64_t now = clock_boot_ms();

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(timers_set(it.timers, &it.timer[i], now + 5 + (int64_t)i % 5), 0);
	for (size_t i = 0; i < COUNT; i++) {
		if (i % 3 == 0)
			timers_cancel(it.timers, &it.timer[i]);
		if (i % 3 == 1)
			assert_int_equal(timers_set(it.timers, &it.timer[i], now + 30), 0);
	}
	timers_cancel(it.timers, &it.timer[0]); /* once more is fine */
	run_until(COUNT - (COUNT + 2) / 3);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(it.fired[i] == 0, i % 3 == 0);
		if (i % 3 == 1)
			assert_true(it.fired[i] > it.fired[2]);
	}
}

static void one_in_the_past_expires_at_once(void **state)
{
	(void)state;
	assert_int_equal(timers_set(it.timers, &it.timer[0], clock_boot_ms() - 1000), 0);
	run_until(1);
}

static void rearm(void *context)
{
	it.count++;
	if (it.count < 3)
		assert_int_equal(timers_set(it.timers, context, clock_boot_ms() + 1), 0);
}

static void a_timer_may_set_itself_again(void **state)
{
	(void)state;
	it.timer[0].expired = rearm;
	assert_int_equal(timers_set(it.timers, &it.timer[0], clock_boot_ms()), 0);
	run_until(3);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(they_expire_in_order_and_never_early),
		test(cancelled_and_moved_ones_obey),
		test(one_in_the_past_expires_at_once),
		test(a_timer_may_set_itself_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
