#include "tests/unit/base/check.h"

#include "base/buffer.h"

#include <errno.h>

static void an_empty_one_has_no_memory(void **state)
{
	owned_buffer b = {0};

	(void)state;
	buffer_clear(&b);
	buffer_consume(&b, 5);
	assert_null(b.data);
	assert_null(buffer_take(&b));
}

static void appending_nothing_makes_a_string(void **state)
{
	owned_buffer b = {0};

	(void)state;
	assert_int_equal(buffer_append(&b, NULL, 0), 0);
	assert_string_equal(b.data, "");
	assert_int_equal(b.length, 0);
}

static void bytes_may_be_nul_and_a_terminator_follows(void **state)
{
	owned_buffer b = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buffer_append(&b, "a\0b", 3), 0);
	assert_int_equal(b.length, 3000);
	assert_memory_equal(b.data + 2997, "a\0b", 4);
}

static void the_bound_holds_to_the_byte(void **state)
{
	owned_buffer b = {.max = 10};

	(void)state;
	assert_int_equal(buffer_append(&b, "0123456789", 10), 0);
	assert_int_equal(buffer_append(&b, "x", 1), -EFBIG);
	assert_int_equal(buffer_printf(&b, "%s", "x"), -EFBIG);
	assert_string_equal(b.data, "0123456789");
	buffer_consume(&b, 1);
	assert_int_equal(buffer_append(&b, "x", 1), 0);
	assert_string_equal(b.data, "123456789x");
}

static void a_size_that_wraps_is_refused(void **state)
{
	owned_buffer b = {.max = SIZE_MAX};

	(void)state;
	assert_int_equal(buffer_append(&b, "abc", 3), 0);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 1), -EFBIG);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 3), -ENOMEM);
	assert_string_equal(b.data, "abc");
}

static void printing_over_every_growth_is_whole(void **state)
{
	(void)state;
	for (int width = 250; width < 260; width++) {
		owned_buffer b = {0};

		assert_int_equal(buffer_printf(&b, "%*d", width, 7), 0);
		assert_int_equal(b.length, width);
		assert_int_equal(strlen(b.data), width);
		assert_int_equal(b.data[width - 1], '7');
	}
}

static void what_is_taken_leaves_an_empty_buffer_with_its_bound(void **state)
{
	owned_buffer b = {.max = 4};
	char *taken;

	(void)state;
	assert_int_equal(buffer_append(&b, "abcd", 4), 0);
	taken = buffer_take(&b);
	assert_string_equal(taken, "abcd");
	free(taken);
	assert_int_equal(buffer_append(&b, "abcde", 5), -EFBIG);
	assert_int_equal(buffer_append(&b, "ab", 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_no_memory),
		cmocka_unit_test(appending_nothing_makes_a_string),
		cmocka_unit_test(bytes_may_be_nul_and_a_terminator_follows),
		cmocka_unit_test(the_bound_holds_to_the_byte),
		cmocka_unit_test(a_size_that_wraps_is_refused),
		cmocka_unit_test(printing_over_every_growth_is_whole),
		cmocka_unit_test(what_is_taken_leaves_an_empty_buffer_with_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
