#include "cli/escape.h"

#include "base/owned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_escaped(const char *text, const char *expected)
{
	owned_str *got = escape_new(text);

	assert_non_null(got);
	assert_string_equal(got, expected);
}

static void harmless_text_stays_as_it_is(void **state)
{
	(void)state;
	assert_escaped("", "");
	assert_escaped("a plain line, 100% of it", "a plain line, 100% of it");
	assert_escaped("na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80",
		       "na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80");
}

static void controls_are_written_out(void **state)
{
	(void)state;
	assert_escaped("a\nb\tc\r\033[2J\x7f", "a\\x0ab\\x09c\\x0d\\x1b[2J\\x7f");
	assert_escaped("\xc2\x9b"
		       "2J",
		       "\\xc2\\x9b2J"); /* CSI as one character */
	assert_escaped("\xe2\x80\xae"
		       "gpj.exe",
		       "\\u202egpj.exe");
}

static void bytes_that_are_no_text_are_written_out(void **state)
{
	(void)state;
	assert_escaped("\xff\xc3", "\\xff\\xc3");
	assert_escaped("\xc0\xaf", "\\xc0\\xaf");          /* overlong */
	assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
	assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}

/* --- the filter
 * --------------------------------------------------------------------------------------- */

/* Cut into pieces of every size, it gives the same. */
static void assert_filtered_bytes(const char *bytes, size_t length, const char *expected)
{
	for (size_t piece = 1; piece <= length; piece++) {
		struct filter f = {0};
		owned_buffer out = {0};

		for (size_t at = 0; at < length; at += piece)
			assert_int_equal(filter_feed(&f, (const uint8_t *)bytes + at,
						     length - at < piece ? length - at : piece,
						     &out),
					 0);
		assert_int_equal(filter_end(&f, &out), 0);
		assert_string_equal(out.data ? out.data : "", expected);
	}
}

static void assert_filtered(const char *text, const char *expected)
{
	assert_filtered_bytes(text, strlen(text), expected);
}

static void text_and_line_ends_pass(void **state)
{
	(void)state;
	assert_filtered("one\r\n\ttwo na\xc3\xafve\n", "one\r\n\ttwo na\xc3\xafve\n");
}

static void colours_pass_and_are_taken_back_at_the_end(void **state)
{
	(void)state;
	assert_filtered("\033[31mred", "\033[31mred\033[0m");
	assert_filtered("\033[38:2:1:2:3;1mx\033[m", "\033[38:2:1:2:3;1mx\033[m\033[0m");
}

static void everything_else_that_moves_a_terminal_is_dropped(void **state)
{
	(void)state;
	assert_filtered("a\033[2Jb\033[1;1Hc\033[?1049hd\033[>4me\033[6nf", "abcdef");
	assert_filtered("a\033]0;title\007b\033]52;c;QUJD\033\\c", "abc");
	assert_filtered("a\033Pq~~\033\\b\033_x\033\\c\033^y\007d", "abcd");
	assert_filtered("a\033cb\0337c\033(0d\033#8e\bf\x0eg", "abcdefg");
	assert_filtered("a\xc2\x9b"
			"2Jb",
			"a2Jb");
	assert_filtered("a\xe2\x80\xae"
			"b",
			"ab");
}

static void a_sequence_that_never_ends_hides_nothing_behind_its_line(void **state)
{
	(void)state;
	assert_filtered("\033]0;open\nseen\n", "\nseen\n");
	assert_filtered("\033[31\nseen\n", "\nseen\n");
	assert_filtered("\033\nseen\n", "\nseen\n");
}

static void a_colour_that_is_too_long_is_none(void **state)
{
	char text[200] = "\033[";

	(void)state;
	memset(text + 2, '1', 100);
	strcpy(text + 102, "mx");
	assert_filtered(text, "x");
}

static void bytes_that_are_no_text_become_one_sign_each(void **state)
{
	(void)state;
	assert_filtered("a\xff"
			"b\xe2\x82",
			"a\xef\xbf\xbd"
			"b\xef\xbf\xbd\xef\xbf\xbd");
	assert_filtered("\xe2\x82\033[1mx", "\xef\xbf\xbd\xef\xbf\xbd\033[1mx\033[0m");
	assert_filtered_bytes("a\0b", 3, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(harmless_text_stays_as_it_is),
		cmocka_unit_test(controls_are_written_out),
		cmocka_unit_test(bytes_that_are_no_text_are_written_out),
		cmocka_unit_test(text_and_line_ends_pass),
		cmocka_unit_test(colours_pass_and_are_taken_back_at_the_end),
		cmocka_unit_test(everything_else_that_moves_a_terminal_is_dropped),
		cmocka_unit_test(a_sequence_that_never_ends_hides_nothing_behind_its_line),
		cmocka_unit_test(a_colour_that_is_too_long_is_none),
		cmocka_unit_test(bytes_that_are_no_text_become_one_sign_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
