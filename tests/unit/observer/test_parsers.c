/* The pure parts: cursor, moves, options. */
#include "rig.h"

#include "observer/cursor.h"
#include "observer/cursor_file.h"
#include "observer/moves.h"
#include "observer/remote.h"

#define A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEAD "cupel-cursor 1\nrepository /srv/a b.git\n"

static int parse(const char *text, struct cursor *out, struct error *err)
{
	return cursor_parse(text, strlen(text), out, err);
}

static void a_cursor_comes_back_as_it_was_written(void **state)
{
	const char *text =
		HEAD "ref " A " refs/heads/a b\nref " B " refs/tags/v1\nseen " B "\nend 2 1\n";
	owned_cursor c = {0};
	owned_buffer out = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(parse(text, &c, &err), 0);
	assert_string_equal(c.repository, "/srv/a b.git");
	assert_non_null(refs_find(&c.refs, "refs/heads/a b"));
	assert_int_equal(cursor_format(&c, &out), 0);
	assert_string_equal(out.data, text);
}

static void a_cursor_that_was_cut_anywhere_is_noticed(void **state)
{
	const char *text = HEAD "ref " A " refs/heads/main\nseen " B "\nend 1 1\n";

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		owned_cursor c = {0};

		assert_int_equal(cursor_parse(text, i, &c, NULL), -EBADMSG);
	}
}

static void what_is_no_cursor_is_refused_by_line(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{"hello\n", "line 1: this is no cursor"},
		{"cupel-cursor 0\n", "line 1: this is no cursor"},
		{"cupel-cursor 1 \n", "line 1: this is no cursor"},
		{"cupel-cursor 1\nend 0 0\n", "line 2: the repository"},
		{HEAD "ref " A "\nend 1 0\n", "line 3: a ref is"},
		{HEAD "ref " A " \nend 1 0\n", "line 3: a ref is"},
		{HEAD "ref " A " b\nref " A " a\nend 2 0\n", "line 4: refs must be sorted"},
		{HEAD "ref " A " a\nref " A " a\nend 2 0\n", "line 4: refs must be sorted"},
		{HEAD "seen " A "x\nend 0 1\n", "line 3: a seen id"},
		{HEAD "end 1 0\n", "line 3: the counts"},
		{HEAD "end 0 0\nend 0 0\n", "line 4: nothing may follow"},
		{HEAD "more\n", "line 3: it starts with no known word"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		owned_cursor c = {0};
		struct error err = {0};

		assert_int_equal(parse(cases[i].text, &c, &err), -EBADMSG);
		if (!strstr(err.text, cases[i].complaint))
			fail_msg("%s", err.text);
	}
}

static void a_newer_cursor_is_told_apart(void **state)
{
	owned_cursor c = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(parse("cupel-cursor 2\nwhatever\n", &c, &err), -EPROTO);
}

static void seen_ids_are_bounded_and_the_oldest_go(void **state)
{
	owned_cursor c = {0};
	struct oid id = {0};

	(void)state;
	for (unsigned i = 0; i < CURSOR_SEEN_MAX + 5; i++) {
		id.bytes[0] = (uint8_t)(i >> 8);
		id.bytes[1] = (uint8_t)i;
		id.bytes[2] = 1;
		assert_int_equal(cursor_see(&c, &id), 0);
		assert_int_equal(cursor_see(&c, &id), 0); /* twice is once */
	}
	assert_int_equal(c.seen_count, CURSOR_SEEN_MAX);
	assert_int_equal(c.seen[0].bytes[1], 5);
	assert_true(oid_equal(&c.seen[c.seen_count - 1], &id));
}

static void two_repositories_have_two_files(void **state)
{
	char one[100], two[100], small[20];

	(void)state;
	assert_int_equal(cursor_file_name("/a/app.git", one, sizeof(one)), 0);
	assert_int_equal(cursor_file_name("/b/app.git", two, sizeof(two)), 0);
	assert_string_not_equal(one, two);
	assert_int_equal(strncmp(one, "app_git.", 8), 0);
	assert_int_equal(cursor_file_name("https://x/../..", small, sizeof(small)), 0);
	assert_null(strchr(small, '/'));
}

static void put(struct refs *r, const char *name, char digit)
{
	char hex[OID_HEX + 1];
	struct oid id;

	memset(hex, digit, OID_HEX);
	assert_true(oid_parse(hex, &id));
	assert_int_equal(refs_set(r, name, &id), 0);
}

static void moves_come_head_first_and_deletions_last(void **state)
{
	static const char *const order[] = {"refs/heads/main", "refs/heads/a", "refs/heads/z",
					    "refs/tags/t", "refs/heads/gone"};
	owned_refs before = {0}, now = {0};
	owned_moves m = {0};

	(void)state;
	put(&before, "refs/heads/gone", '1');
	put(&before, "refs/heads/main", '1');
	put(&before, "refs/heads/same", '2');
	put(&now, "refs/heads/same", '2');
	put(&now, "refs/tags/t", '3');
	put(&now, "refs/heads/z", '3');
	put(&now, "refs/heads/main", '3');
	put(&now, "refs/heads/a", '3');
	assert_int_equal(moves_find(&before, &now, "refs/heads/main", &m), 0);
	assert_int_equal(m.count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(m.items[i].ref, order[i]);
	assert_true(oid_is_none(&m.items[1].from) && oid_is_none(&m.items[4].to));
	assert_false(oid_is_none(&m.items[0].from));
}

static void the_file_says_what_the_options_say(void **state)
{
	const char *text =
		"state: /var/lib/x\ndispatcher: unix:/run/d\npoll: 5s\nbuild-head: true\n"
		"repositories:\n- {name: app, path: /srv/app.git, poll: 1m, refs: [refs/heads/*]}\n"
		"- url: https://host/lib.git\n";
	owned_options file = {0}, line = {0};
	struct error err = {0};

	(void)state;
	if (options_parse("observer.yml", text, strlen(text), &file, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(file.count, 2);
	assert_string_equal(file.repositories[0].refs[0], "refs/heads/*");
	assert_int_equal(file.repositories[0].poll_ms, 60000);
	assert_null(file.repositories[1].refs);
	line.token = strdup("/token");
	assert_int_equal(options_set_poll(&line, "7s", &err), 0);
	options_merge(&line, &file);
	assert_string_equal(line.state, "/var/lib/x");
	assert_null(line.dispatcher); /* the token says where it is */
	assert_int_equal(line.poll_ms, 7000);
	assert_true(line.build_head);
	assert_int_equal(line.count, 2);
}

static void what_the_file_may_not_say_is_told_by_place(void **state)
{
	static const char *const cases[][2] = {
		{"stat: x\n", ":1:1: "},
		{"repositories: x\n", "repositories is a list"},
		{"repositories:\n- x\n", ":2:3: a repository is a map"},
		{"repositories:\n- {name: x}\n", "either a path or a url"},
		{"repositories:\n- {path: x, url: y}\n", "either a path or a url"},
		{"repositories:\n- {path: x, refs: []}\n", "list of 1 to"},
		{"repositories:\n- {path: x, refs: [main]}\n", "starts with refs/"},
		{"poll: 1ms\n", "poll: give a time from"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		owned_options o = {0};
		struct error err = {0};

		assert_int_equal(options_parse("f", cases[i][0], strlen(cases[i][0]), &o, &err),
				 -EINVAL);
		if (!strstr(err.text, cases[i][1]) || strncmp(err.text, "f:", 2) != 0)
			fail_msg("%s", err.text);
	}
}

static void names_stand_before_the_first_equals_sign(void **state)
{
	owned_options o = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(options_add_repository(&o, "app=/srv/a=b.git", &err), 0);
	assert_string_equal(o.repositories[0].name, "app");
	assert_string_equal(o.repositories[0].place, "/srv/a=b.git");
	assert_int_equal(options_add_repository(&o, "./a=b", &err), 0);
	assert_null(o.repositories[1].name);
	assert_int_equal(options_add_repository(&o, "https://host/x?a=b", &err), 0);
	assert_null(o.repositories[2].name);
	assert_int_equal(options_add_repository(&o, "=x", &err), -EINVAL);
	assert_int_equal(options_add_repository(&o, "a\nb", &err), -EINVAL);
	assert_int_equal(options_add_repository(&o, "", &err), -EINVAL);
}

static void urls_are_told_from_paths(void **state)
{
	(void)state;
	assert_true(remote_is_url("https://host/x") && remote_is_url("git@host:x.git"));
	assert_false(remote_is_url("/a:b") || remote_is_url("./a:b") || remote_is_url("dir/a:b") ||
		     remote_is_url("dir"));
	assert_int_equal(remote_check_url("ssh://git@host/x", NULL), 0);
	assert_int_equal(remote_check_url("https://host/a:b@c", NULL), 0);
	assert_int_equal(remote_check_url("https://a:b@host/", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cursor_comes_back_as_it_was_written),
		cmocka_unit_test(a_cursor_that_was_cut_anywhere_is_noticed),
		cmocka_unit_test(what_is_no_cursor_is_refused_by_line),
		cmocka_unit_test(a_newer_cursor_is_told_apart),
		cmocka_unit_test(seen_ids_are_bounded_and_the_oldest_go),
		cmocka_unit_test(two_repositories_have_two_files),
		cmocka_unit_test(moves_come_head_first_and_deletions_last),
		cmocka_unit_test(the_file_says_what_the_options_say),
		cmocka_unit_test(what_the_file_may_not_say_is_told_by_place),
		cmocka_unit_test(names_stand_before_the_first_equals_sign),
		cmocka_unit_test(urls_are_told_from_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
