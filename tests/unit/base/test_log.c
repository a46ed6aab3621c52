#include "tests/unit/base/check.h"

#include "base/log.h"

#include <errno.h>

struct line {
	const char *level; /* of CUPEL_LOG, NULL: unset */
	enum log_level at;
	const char *text;
};

static int write_line(void *with)
{
	const struct line *l = with;

	if (l->level)
		(void)setenv("CUPEL_LOG", l->level, 1);
	else
		(void)unsetenv("CUPEL_LOG");
	log_open("cupel-test");
	errno = ENOTTY;
	log_line(l->at, "%s", l->text);
	return errno == ENOTTY ? 0 : 1;
}

/* What a child writes to its stderr. */
static void written(struct line l, char *out, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n, used = 0;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[1]);
	assert_int_equal(in_child(write_line, &l), 0);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	while ((n = read(ends[0], out + used, size - 1 - (size_t)used)) > 0)
		used += n;
	out[used] = '\0';
	(void)close(ends[0]);
}

static void a_line_has_time_program_level_and_text(void **state)
{
	char text[8192];
	int length = 0;

	(void)state;
	written((struct line){NULL, LOG_LEVEL_WARNING, "the disk is full"}, text, sizeof(text));
	assert_int_equal(sscanf(text, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2dZ cupel-test[%*d] %n", &length),
			 0);
	assert_true(length > 0);
	assert_string_equal(text + length, "warning: the disk is full\n");
}

static void the_environment_sets_the_lowest_level(void **state)
{
	char text[8192];

	(void)state;
	written((struct line){NULL, LOG_LEVEL_DEBUG, "x"}, text, sizeof(text));
	assert_string_equal(text, "");
	written((struct line){"debug", LOG_LEVEL_DEBUG, "x"}, text, sizeof(text));
	assert_string_not_equal(text, "");
	written((struct line){"error", LOG_LEVEL_WARNING, "x"}, text, sizeof(text));
	assert_string_equal(text, "");
	written((struct line){"nonsense", LOG_LEVEL_INFO, "x"}, text, sizeof(text));
	assert_string_not_equal(text, "");
}

static void a_stranger_cannot_forge_a_line(void **state)
{
	char text[8192];

	(void)state;
	written((struct line){NULL, LOG_LEVEL_INFO,
			      "a\nb\r\x1b[2J\x7f\xc2\x9b"
			      "2J\xc3\xa9"},
		text, sizeof(text));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_non_null(strstr(text, ": a\\x0ab\\x0d\\x1b[2J\\x7f\\xc2\\x9b2J\xc3\xa9\n"));
}

static void a_flood_is_one_bounded_line(void **state)
{
	char flood[10000], text[16384];

	(void)state;
	memset(flood, '\x01', sizeof(flood) - 1);
	flood[sizeof(flood) - 1] = '\0';
	written((struct line){NULL, LOG_LEVEL_INFO, flood}, text, sizeof(text));
	assert_true(strlen(text) <= 4096);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_program_level_and_text),
		cmocka_unit_test(the_environment_sets_the_lowest_level),
		cmocka_unit_test(a_stranger_cannot_forge_a_line),
		cmocka_unit_test(a_flood_is_one_bounded_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
