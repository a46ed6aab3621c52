#include "tests/unit/base/check.h"

#include "base/error.h"

static void a_sentence_ends_with_its_reason(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(error_set(&e, ENOENT, "open %s", "x"), -ENOENT);
	assert_int_equal(e.code, ENOENT);
	assert_string_equal(e.text, "open x: No such file or directory");
}

static void nobody_need_listen(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, EPERM, "x"), -EPERM);
	assert_int_equal(error_say(NULL, EPERM, "x"), -EPERM);
	assert_int_equal(error_prefix(NULL, "x"), -EIO);
}

static void a_long_sentence_is_cut_but_not_its_reason(void **state)
{
	struct error e = {0};
	char text[2000];
	const char *reason = ": No such file or directory";

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(error_set(&e, ENOENT, "%s", text), -ENOENT);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_string_equal(e.text + strlen(e.text) - strlen(reason), reason);
	assert_int_equal(error_say(&e, EINVAL, "%s", text), -EINVAL);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void a_prefix_keeps_code_and_sentence(void **state)
{
	struct error e = {0};

	(void)state;
	(void)error_say(&e, EBUSY, "the box is full");
	assert_int_equal(error_prefix(&e, "build %d", 42), -EBUSY);
	assert_string_equal(e.text, "build 42: the box is full");
}

static void prefixes_never_overflow(void **state)
{
	struct error e = {0};

	(void)state;
	(void)error_say(&e, EBUSY, "end");
	for (int i = 0; i < 100; i++)
		assert_int_equal(error_prefix(&e, "a long enough prefix %d", i), -EBUSY);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "a long enough prefix 99: ", 25);
}

static void a_sentence_may_quote_the_one_before(void **state)
{
	struct error e = {0};

	(void)state;
	(void)error_say(&e, EBUSY, "inner");
	(void)error_say(&e, EIO, "outer (%s)", e.text);
	assert_string_equal(e.text, "outer (inner)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sentence_ends_with_its_reason),
		cmocka_unit_test(nobody_need_listen),
		cmocka_unit_test(a_long_sentence_is_cut_but_not_its_reason),
		cmocka_unit_test(a_prefix_keeps_code_and_sentence),
		cmocka_unit_test(prefixes_never_overflow),
		cmocka_unit_test(a_sentence_may_quote_the_one_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
