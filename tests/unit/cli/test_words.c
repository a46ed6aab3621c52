#include "cli/find.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/lines.h"
#include "cli/options.h"
#include "cli/repository.h"
#include "cli/table.h"

#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- options
 * ------------------------------------------------------------------------------------------ */

struct values {
	bool flag, other;
	const char *text;
	uint64_t count, size, time, milli;
};

static const struct option_row rows[] = {
	{"flag", 'f', OPTION_FLAG, NULL, "", offsetof(struct values, flag)},
	{"other", 'o', OPTION_FLAG, NULL, "", offsetof(struct values, other)},
	{"text", 't', OPTION_TEXT, "TEXT", "", offsetof(struct values, text)},
	{"count", 'n', OPTION_COUNT, "N", "", offsetof(struct values, count)},
	{"size", 0, OPTION_SIZE, "SIZE", "", offsetof(struct values, size)},
	{"time", 0, OPTION_TIME, "TIME", "", offsetof(struct values, time)},
	{"milli", 0, OPTION_MILLI, "X", "", offsetof(struct values, milli)},
};

static int parse(struct values *v, struct option_words *words, struct error *err, const char *line)
{
	static char copy[256];
	char *argv[32];
	int argc = 0;
	const struct option_set set = {rows, COUNT(rows), v};

	*v = (struct values){0};
	*err = (struct error){0};
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_parse(&set, 1, argc, argv, words, err);
}

static void options_and_words_come_in_any_order(void **state)
{
	struct option_words words;
	struct error err;
	struct values v;

	(void)state;
	assert_int_equal(parse(&v, &words, &err, "one --flag two --text=a=b -n5 three --size 2M"),
			 0);
	assert_true(v.flag && !v.other);
	assert_string_equal(v.text, "a=b");
	assert_int_equal(v.count, 5);
	assert_int_equal(v.size, 2 << 20);
	assert_int_equal(words.count, 3);
	assert_string_equal(words.at[2], "three");
	assert_int_equal(parse(&v, &words, &err, "-fo -t x --time 90s --milli 1.5"), 0);
	assert_true(v.flag && v.other);
	assert_string_equal(v.text, "x");
	assert_int_equal(v.time, 90000);
	assert_int_equal(v.milli, 1500);
	assert_int_equal(parse(&v, &words, &err, "-fn 7 -"), 0);
	assert_int_equal(v.count, 7);
	assert_string_equal(words.at[0], "-");
}

static void behind_two_dashes_everything_is_a_word(void **state)
{
	struct option_words words;
	struct error err;
	struct values v;

	(void)state;
	assert_int_equal(parse(&v, &words, &err, "-- --flag -- -x"), 0);
	assert_false(v.flag);
	assert_int_equal(words.count, 3);
	assert_string_equal(words.at[1], "--");
}

static void what_is_wrong_with_an_option_is_told(void **state)
{
	static const struct {
		const char *line, *sentence;
	} cases[] = {
		{"--falg", "there is no option --falg; is it --flag?"},
		{"--nothing-like-it", "there is no option --nothing-like-it"},
		{"-x", "there is no option -x"},
		{"--flag=1", "--flag takes no value"},
		{"--text", "--text wants a value: --text TEXT"},
		{"-n", "-n wants a value: --count N"},
		{"--count -1", "--count wants a whole number, not \"-1\""},
		{"--count 5x", "--count wants a whole number, not \"5x\""},
		{"--count 99999999999999999999", "--count 99999999999999999999 is too large"},
		{"--size big", "--size wants a size like 512M, not \"big\""},
		{"--time soon", "--time wants a time like 90s, not \"soon\""},
	};
	struct option_words words;
	struct error err;
	struct values v;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(parse(&v, &words, &err, cases[i].line), -EINVAL);
		assert_string_equal(err.text, cases[i].sentence);
	}
}

/* --- numbers
 * ------------------------------------------------------------------------------------------ */

static void ages_are_rough(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {{0, "now"},
		     {999, "now"},
		     {1000, "1s"},
		     {59999, "59s"},
		     {60000, "1m"},
		     {3600000, "1h"},
		     {86400000, "1d"},
		     {86400000ull * 13, "13d"},
		     {86400000ull * 14, "2w"},
		     {86400000ull * 800, "2y"}};
	const int64_t now = (int64_t)86400000 * 10000;
	char text[FORMAT_SHORT];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		format_age(now, (uint64_t)now - cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
	format_age(now, (uint64_t)now + 5000, text);
	assert_string_equal(text, "now");
}

static void milli_has_no_more_digits_than_it_needs(void **state)
{
	char text[FORMAT_SHORT];

	(void)state;
	format_milli(1500, text);
	assert_string_equal(text, "1.5");
	format_milli(2000, text);
	assert_string_equal(text, "2");
	format_milli(250, text);
	assert_string_equal(text, "0.25");
	format_milli(10, text);
	assert_string_equal(text, "0.01");
}

static void refs_are_short(void **state)
{
	(void)state;
	assert_string_equal(format_ref("refs/heads/a/b"), "a/b");
	assert_string_equal(format_ref("refs/tags/v1"), "v1");
	assert_string_equal(format_ref("refs/pull/1/head"), "refs/pull/1/head");
}

static void runs_are_named_by_number_or_commit(void **state)
{
	(void)state;
	assert_int_equal(find_number("42"), 42);
	assert_int_equal(find_number("0"), 0);
	assert_int_equal(find_number("42a"), 0);
	assert_int_equal(find_number(""), 0);
	assert_int_equal(find_number("-1"), 0);
	assert_int_equal(find_number("0123456789012345678901234567890123456789"), 0);
	assert_true(find_is_commit("0123456789012345678901234567890123456789"));
	assert_true(find_is_commit("abcd"));
	assert_false(find_is_commit("abc"));
	assert_false(find_is_commit("ABCD"));
	assert_false(find_is_commit("latest"));
}

/* --- tables
 * ------------------------------------------------------------------------------------------- */

static const struct table_column columns[] = {
	{"N", .right = true}, {"TEXT", .cut = true}, {"WORD"}};

static char *printed(size_t width, bool colour)
{
	owned(table) *t = table_new(columns, COUNT(columns), 1);
	owned_buffer out = {0};

	assert_non_null(t);
	assert_int_equal(
		table_add(t, (struct table_cell[]){{"1", 0}, {"a text that is long", 0}, {"x", 0}}),
		0);
	assert_int_equal(table_note(t, 0, "a note of a few words"), 0);
	assert_int_equal(
		table_add(t, (struct table_cell[]){{"10", 0},
						   {"\xe6\xbc\xa2\xe5\xad\x97", STYLE_GOOD},
						   {"y", 0}}),
		0);
	assert_int_equal(table_print(t, width, colour, &out), 0);
	return buffer_take(&out);
}

static void a_table_is_as_wide_as_what_is_in_it(void **state)
{
	owned_str *text = printed(0, false);

	(void)state;
	assert_string_equal(text, "  N  TEXT                 WORD\n"
				  "  1  a text that is long  x\n"
				  "     a note of a few words\n"
				  " 10  \xe6\xbc\xa2\xe5\xad\x97                 y\n");
}

static void a_table_that_is_too_wide_is_cut_where_it_may_be(void **state)
{
	owned_str *text = printed(24, false);

	(void)state;
	assert_string_equal(text, "  N  TEXT           WORD\n"
				  "  1  a text that \xe2\x80\xa6  x\n"
				  "     a note of a few\n"
				  "     words\n"
				  " 10  \xe6\xbc\xa2\xe5\xad\x97           y\n");
}

static void a_table_narrower_than_it_can_be_is_still_one(void **state)
{
	owned_str *text = printed(3, true);

	(void)state;
	assert_non_null(strstr(text, "a text \xe2\x80\xa6"));
	assert_non_null(strstr(text, "\033[32m\xe6\xbc\xa2\xe5\xad\x97\033[0m"));
}

/* --- JSON
 * --------------------------------------------------------------------------------------------- */

static void messages_become_json_by_the_names_of_their_fields(void **state)
{
	Cupel__AttemptInfo a = CUPEL__ATTEMPT_INFO__INIT;
	Cupel__Usage usage = CUPEL__USAGE__INIT;
	uint8_t digest[] = {0, 0xab};
	owned_str *text = NULL;

	(void)state;
	usage.wall_ms = 5000000000;
	usage.cpu_user_ms = 2;
	usage.cpu_system_ms = 3;
	usage.tasks_peak = 3;
	a.epoch = 4294967295;
	a.runner = (char *)"b\xff\"\n";
	a.state = CUPEL__STATE__STATE_ENDED;
	a.verdict = CUPEL__VERDICT__VERDICT_TIMED_OUT;
	a.usage = &usage;
	a.exit_code = -1;
	a.log_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	text = json_of_message(&a.base);
	assert_non_null(text);
	assert_string_equal(
		text,
		"{\"epoch\": 4294967295, \"runner\": \"b\\uFFFD\\\"\\n\", \"state\": \"ended\", \"verdict\": "
		"\"timed_out\", \"reason\": \"\", \"usage\": {\"wall_ms\": 5000000000, \"cpu_user_ms\": 2, "
		"\"cpu_system_ms\": 3, \"memory_peak\": null, \"tasks_peak\": 3, \"disk_peak\": 0, "
		"\"output_bytes\": 0, \"memory_now\": 0, \"cpu_ms\": 5}, \"granted\": null, \"exit_code\": -1, "
		"\"signal\": 0, \"limit\": \"\", \"log_length\": 0, \"log_digest\": \"00ab\", "
		"\"assigned_at_ms\": 0, \"started_at_ms\": 0, \"ended_at_ms\": 0, \"denied\": [], "
		"\"late_result\": \"\"}");
}

static void words_of_json_are_those_of_the_wire(void **state)
{
	(void)state;
	for (int v = 0; v <= CUPEL__VERDICT__VERDICT_DECLINED; v++) {
		Cupel__Job job = CUPEL__JOB__INIT;
		char expected[64];
		owned_str *text = NULL;

		job.verdict = (Cupel__Verdict)v;
		job.kind = v ? CUPEL__KIND__KIND_PLAN : CUPEL__KIND__KIND_JOB;
		text = json_of_message(&job.base);
		snprintf(expected, sizeof(expected),
			 v ? "\"verdict\": \"%s\"" : "\"verdict\": null",
			 verdict_word(job.verdict));
		assert_non_null(strstr(text, expected));
		assert_non_null(strstr(text, v ? "\"kind\": \"plan\"" : "\"kind\": \"job\""));
	}
}

/* --- logs as JSON
 * ------------------------------------------------------------------------------------- */

static void a_line_is_one_object_however_it_comes(void **state)
{
	static const char log[] = "one\nt\xc3\xbc\0\n\nthree";
	owned_buffer at_once = {0}, bytewise = {0};
	struct lines l = {.job = "a", .attempt = 2}, again = l;

	(void)state;
	assert_int_equal(lines_feed(&l, log, sizeof(log) - 1, &at_once), 0);
	assert_int_equal(lines_end(&l, &at_once), 0);
	for (size_t i = 0; i < sizeof(log) - 1; i++)
		assert_int_equal(lines_feed(&again, log + i, 1, &bytewise), 0);
	assert_int_equal(lines_end(&again, &bytewise), 0);
	assert_string_equal(at_once.data, bytewise.data);
#define HEAD(at)                                                                                   \
	"{\"job\": \"a\", \"attempt\": 2, \"stream\": \"output\", \"offset\": " at ", \"text\": "
	assert_string_equal(at_once.data,
			    HEAD("0") "\"one\\n\"}\n" HEAD("4") "\"t\\u00FC\\u0000\\n\"}\n" HEAD(
				    "9") "\"\\n\"}\n" HEAD("10") "\"three\"}\n");
	lines_done(&l);
	lines_done(&again);
}

static void a_line_without_end_is_cut_between_characters(void **state)
{
	owned_buffer log = {0}, out = {0};
	struct lines l = {.job = "a", .attempt = 1};
	const char *second;

	(void)state;
	assert_int_equal(buffer_append(&log, "xx", 2), 0);
	while (log.length < LINES_BYTES_MAX + 2)
		assert_int_equal(buffer_append(&log, "\xe2\x82\xac", 3),
				 0); /* 65536 is inside one */
	assert_int_equal(lines_feed(&l, log.data, log.length, &out), 0);
	assert_int_equal(lines_end(&l, &out), 0);
	assert_null(strstr(out.data, "uFFFD"));
	second = strchr(out.data, '\n') + 1;
	assert_non_null(strstr(second, "\"offset\": 65534, \"text\": \"\\u20AC"));
	lines_done(&l);
}

/* --- repositories
 * ------------------------------------------------------------------------------------- */

static void urls_are_told_from_paths(void **state)
{
	(void)state;
	assert_true(repository_is_url("https://host/x.git"));
	assert_true(repository_is_url("git@host:x/y.git"));
	assert_false(repository_is_url("/srv/x.git"));
	assert_false(repository_is_url("x/y:z"));
	assert_false(repository_is_url("."));
}

static void a_repository_has_a_name_and_a_branch(void **state)
{
	char folder[] = "/tmp/cupel-words-XXXXXX", path[PATH_MAX];
	struct repository r;
	struct error err = {0};
	int fd;

	(void)state;
	assert_int_equal(repository_find("git@host:x/sample.git", &r, &err), 0);
	assert_string_equal(r.name, "sample");
	assert_string_equal(r.ref, "");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(repository_find(folder, &r, &err), -ENOENT);
	snprintf(path, sizeof(path), "%s/.git", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/.git/HEAD", folder);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "ref: refs/heads/x/y\n", 20), 20);
	close(fd);
	assert_int_equal(repository_find(folder, &r, &err), 0);
	assert_string_equal(r.place, folder);
	assert_string_equal(r.name, folder + 5);
	assert_string_equal(r.ref, "refs/heads/x/y");
	unlink(path);
	snprintf(path, sizeof(path), "%s/.git", folder);
	rmdir(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_words_come_in_any_order),
		cmocka_unit_test(behind_two_dashes_everything_is_a_word),
		cmocka_unit_test(what_is_wrong_with_an_option_is_told),
		cmocka_unit_test(ages_are_rough),
		cmocka_unit_test(milli_has_no_more_digits_than_it_needs),
		cmocka_unit_test(refs_are_short),
		cmocka_unit_test(runs_are_named_by_number_or_commit),
		cmocka_unit_test(a_table_is_as_wide_as_what_is_in_it),
		cmocka_unit_test(a_table_that_is_too_wide_is_cut_where_it_may_be),
		cmocka_unit_test(a_table_narrower_than_it_can_be_is_still_one),
		cmocka_unit_test(messages_become_json_by_the_names_of_their_fields),
		cmocka_unit_test(words_of_json_are_those_of_the_wire),
		cmocka_unit_test(a_line_is_one_object_however_it_comes),
		cmocka_unit_test(a_line_without_end_is_cut_between_characters),
		cmocka_unit_test(urls_are_told_from_paths),
		cmocka_unit_test(a_repository_has_a_name_and_a_branch),
	};

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
