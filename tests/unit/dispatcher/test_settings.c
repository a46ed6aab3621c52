#include "dispatcher/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static int read_text(const char *text, struct dispatcher_options *out, struct config **file,
		     struct error *err)
{
	int rc = config_parse("dispatcher.yml", text, strlen(text), file, err);

	*out = (struct dispatcher_options)DISPATCHER_OPTIONS;
	return rc < 0 ? rc : settings_from_file("dispatcher.yml", *file, out, err);
}

static void the_file_says_what_options_say(void **state)
{
	owned(config) *file = NULL;
	struct dispatcher_options o;

	(void)state;
	assert_int_equal(read_text("state: /srv/cupel\n"
				   "listen: [unix:/run/cupel.sock, 0.0.0.0:8888]\n"
				   "advertise: ci.example:8888\n"
				   "allow_uids: [1000, 1001]\n"
				   "lease: 30s\nlease-slack: 250ms\n",
				   &o, &file, NULL),
			 0);
	assert_string_equal(o.state, "/srv/cupel");
	assert_int_equal(o.listen_count, 2);
	assert_string_equal(o.listen[1], "0.0.0.0:8888");
	assert_string_equal(o.advertise, "ci.example:8888");
	assert_int_equal(o.allow_uids_count, 2);
	assert_int_equal(o.allow_uids[1], 1001);
	assert_int_equal(o.lease_ms, 30000);
	assert_int_equal(o.lease_slack_ms, 250);
	assert_int_equal(o.heartbeat_ms, 5000); /* not said: the default */
}

static void mistakes_are_told_with_their_place(void **state)
{
	const struct {
		const char *text, *told;
	} cases[] = {
		{"leese: 3s\n", "dispatcher.yml:1:1: unknown key 'leese'"},
		{"lease: soon\n", "dispatcher.yml:1:8"},
		{"state: /a\nallow_uids: 7\n", "dispatcher.yml:2:13: expected a list of user ids"},
		{"allow_uids: [root]\n", "dispatcher.yml:1:14"},
		{"- a\n", "dispatcher.yml:1:1"},
		{"listen: [a, b, c, d, e, f, g, h, i]\n", "at most 8 addresses"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		owned(config) *file = NULL;
		struct dispatcher_options o;
		struct error err = {0};

		assert_true(read_text(cases[i].text, &o, &file, &err) < 0);
		if (!strstr(err.text, cases[i].told))
			fail_msg("'%s' is not in '%s'", cases[i].told, err.text);
	}
}

static int read_line(struct settings *out, struct error *err, const char *const *words)
{
	char *argv[16];
	int argc = 0;

	while (words[argc] && argc < 15) {
		argv[argc] = (char *)words[argc];
		argc++;
	}
	argv[argc] = NULL;
	return settings_read(argc, argv, out, err);
}
/* Without what /etc may say on this box. */
#define LINE(...)                                                                                  \
	((const char *const[]){"cupel-dispatcher", "--config", "/dev/null", __VA_ARGS__, NULL})

static void options_are_read(void **state)
{
	struct settings s;
	struct error err = {0};

	(void)state;
	assert_int_equal(read_line(&s, &err,
				   LINE("--state", "/s", "--listen", "unix:/a", "--listen", "b:1",
					"--lease", "1m", "--ready-fd", "7")),
			 0);
	assert_string_equal(s.options.state, "/s");
	assert_int_equal(s.options.listen_count, 2);
	assert_int_equal(s.options.lease_ms, 60000);
	assert_int_equal(s.ready_fd, 7);
	settings_done(&s);
}

static void wrong_usage_is_told(void **state)
{
	const char *const lines[][6] = {
		{"x", "--config=/dev/null", NULL},
		{"x", "--config=/dev/null", "--state", NULL},
		{"x", "--config=/dev/null", "--state", "/s", "extra", NULL},
		{"x", "--config=/dev/null", "--state=/s", "--lease=never", NULL},
		{"x", "--config=/dev/null", "--state=/s", "--heartbeat=2m", NULL},
		{"x", "--config=/dev/null", "--state=/s", "--accept=0s", NULL},
		{"x", "--config=/dev/null", "--state=/s", "--ready-fd=x", NULL},
		{"x", "--config=/dev/null", "--nonsense", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct settings s;
		struct error err = {0};

		assert_int_equal(read_line(&s, &err, lines[i]), -EINVAL);
		assert_true(err.text[0]);
		settings_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_says_what_options_say),
		cmocka_unit_test(mistakes_are_told_with_their_place),
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(wrong_usage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
