#include "dispatcher/joblog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/scratch.h"

#include <sys/stat.h>

static struct {
	struct event_base *base;
	struct joblogs *logs;
	int dir;
	unsigned synced;
} it;

static void count_synced(void *context, struct joblog *log)
{
	(void)context;
	(void)log;
	it.synced++;
}

static int setup(void **state)
{
	const struct joblog_callbacks callbacks = {.synced = count_synced};

	if (scratch_make(state) < 0)
		return -1;
	it.synced = 0;
	it.base = event_base_new();
	it.dir = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return joblogs_new(it.base, it.dir, &callbacks, NULL, &it.logs, NULL);
}

static int teardown(void **state)
{
	joblogs_free(it.logs);
	event_base_free(it.base);
	(void)close(it.dir);
	return scratch_remove(state);
}

static void deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	fail_msg("nothing was synced within 10 s");
}

static void wait_durable(struct joblog *log)
{
	struct event *late = evtimer_new(it.base, deadline, NULL);
	const struct timeval limit = {10, 0};

	(void)event_add(late, &limit);
	while (joblog_durable(log) < joblog_length(log) && !joblog_failure(log))
		(void)event_base_loop(it.base, EVLOOP_ONCE);
	event_free(late);
}

static struct joblog *get(uint64_t job, uint32_t epoch)
{
	struct joblog *log = NULL;

	assert_int_equal(joblog_get(it.logs, 1, job, epoch, &log, NULL), 0);
	return log;
}

static void check_digest(struct joblog *log, const void *bytes, size_t length)
{
	owned(digest) *d = digest_new();
	uint8_t expected[DIGEST_SIZE], got[DIGEST_SIZE];

	assert_int_equal(digest_add(d, bytes, length), 0);
	assert_int_equal(digest_get(d, expected), 0);
	assert_true(joblog_digest(log, got));
	assert_memory_equal(expected, got, DIGEST_SIZE);
}

static void bytes_become_durable_with_their_digest(void **state)
{
	struct joblog *log = get(7, 1);
	uint8_t none[DIGEST_SIZE];

	(void)state;
	check_digest(log, "", 0);
	assert_int_equal(joblog_append(log, 0, "hello ", 6), 0);
	assert_false(joblog_digest(log, none));
	assert_int_equal(joblog_append(log, 6, "world", 5), 0);
	assert_int_equal(joblog_length(log), 11);
	wait_durable(log);
	assert_true(it.synced > 0);
	assert_int_equal(joblog_durable(log), 11);
	check_digest(log, "hello world", 11);
	joblog_put(log);
}

static void what_was_there_already_becomes_durable_when_it_comes_again(void **state)
{
	struct joblog *log = get(7, 1);

	(void)state;
	assert_int_equal(joblog_append(log, 0, "hello", 5), 0);
	wait_durable(log);
	joblog_put(log);
	log = get(7, 1); /* as after a restart */
	assert_int_equal(joblog_durable(log), 0);
	assert_int_equal(joblog_append(log, 0, "hello", 5), 0);
	wait_durable(log);
	assert_int_equal(joblog_durable(log), 5);
	joblog_put(log);
}

static void the_file_is_named_by_numbers(void **state)
{
	struct joblog *log = get(7, 3);
	struct stat st;

	(void)state;
	assert_int_equal(joblog_append(log, 0, "x", 1), 0);
	wait_durable(log);
	assert_int_equal(fstatat(it.dir, "logs/1/7.3.log", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	joblog_put(log);
}

static void what_overlaps_is_skipped(void **state)
{
	struct joblog *log = get(1, 1);
	char back[16];

	(void)state;
	assert_int_equal(joblog_append(log, 0, "abcdef", 6), 0);
	assert_int_equal(joblog_append(log, 0, "ABC", 3), 0);
	assert_int_equal(joblog_append(log, 4, "XXghi", 5), 0);
	assert_int_equal(joblog_read(log, 0, back, sizeof(back)), 9);
	assert_memory_equal(back, "abcdefghi", 9);
	joblog_put(log);
}

static void a_gap_is_refused_and_nothing_written(void **state)
{
	struct joblog *log = get(1, 1);

	(void)state;
	assert_int_equal(joblog_append(log, 1, "x", 1), -ERANGE);
	assert_int_equal(joblog_append(log, 0, "ab", 2), 0);
	assert_int_equal(joblog_append(log, 3, "x", 1), -ERANGE);
	assert_int_equal(joblog_append(log, UINT64_MAX, "x", 1), -ERANGE);
	assert_int_equal(joblog_length(log), 2);
	joblog_put(log);
}

static void all_who_ask_get_the_same_log(void **state)
{
	struct joblog *log = get(1, 1), *same = get(1, 1), *other = get(1, 2);

	(void)state;
	assert_ptr_equal(log, same);
	assert_ptr_not_equal(log, other);
	assert_ptr_equal(joblog_find(it.logs, 1, 1), log);
	joblog_put(same);
	assert_ptr_equal(joblog_find(it.logs, 1, 1), log);
	joblog_put(log);
	assert_null(joblog_find(it.logs, 1, 1));
	joblog_put(other);
}

static void a_log_goes_on_after_reopening(void **state)
{
	struct joblog *log = get(1, 1);

	(void)state;
	assert_int_equal(joblog_append(log, 0, "before ", 7), 0);
	wait_durable(log);
	joblog_put(log);
	while (joblog_find(it.logs, 1, 1))
		(void)event_base_loop(it.base, EVLOOP_ONCE);
	log = get(1, 1);
	assert_int_equal(joblog_length(log), 7);
	assert_int_equal(joblog_durable(log), 0); /* until it was synced by us */
	joblog_sync(log);
	wait_durable(log);
	assert_int_equal(joblog_append(log, 7, "after", 5), 0);
	wait_durable(log);
	check_digest(log, "before after", 12);
	joblog_put(log);
}

static void a_log_that_is_put_back_while_it_syncs_is_safe(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 50; i++) {
		struct joblog *log = get(i, 1);

		assert_int_equal(joblog_append(log, 0, "some bytes", 10), 0);
		joblog_put(log);
	}
	while (joblog_find(it.logs, 50, 1))
		(void)event_base_loop(it.base, EVLOOP_ONCE);
}

static void a_link_in_the_way_is_not_followed(void **state)
{
	struct joblog *log = get(9, 1);

	(void)state;
	assert_int_equal(mkdirat(it.dir, "logs/1", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", it.dir, "logs/1/9.1.log"), 0);
	assert_true(joblog_append(log, 0, "x", 1) < 0);
	assert_int_equal(joblog_length(log), 0);
	joblog_put(log);
	assert_true(joblog_get(it.logs, 1, 9, 1, &log, NULL) < 0);
}

static void reading_stops_at_what_was_appended(void **state)
{
	struct joblog *log = get(2, 1);
	char back[4];

	(void)state;
	assert_int_equal(joblog_read(log, 0, back, 4), 0);
	assert_int_equal(joblog_append(log, 0, "abcdef", 6), 0);
	assert_int_equal(joblog_read(log, 4, back, 4), 2);
	assert_int_equal(joblog_read(log, 6, back, 4), 0);
	assert_int_equal(joblog_read(log, 600, back, 4), 0);
	joblog_put(log);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(bytes_become_durable_with_their_digest),
		test(what_was_there_already_becomes_durable_when_it_comes_again),
		test(the_file_is_named_by_numbers),
		test(what_overlaps_is_skipped),
		test(a_gap_is_refused_and_nothing_written),
		test(all_who_ask_get_the_same_log),
		test(a_log_goes_on_after_reopening),
		test(a_log_that_is_put_back_while_it_syncs_is_safe),
		test(a_link_in_the_way_is_not_followed),
		test(reading_stops_at_what_was_appended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
