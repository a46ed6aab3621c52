#include "runner/settings.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder with srv/git/x, srv/gitolite, etc, the links srv/git/out -> etc and in -> srv/git. */
static char folder[64];

static const char *at(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

static int setup(void **state)
{
	static const char *const made[] = {"srv", "srv/git", "srv/git/x", "srv/gitolite", "etc"};

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/cupel-allowed-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		if (mkdir(at(made[i]), 0700) < 0)
			return -1;
	return symlink("../../etc", at("srv/git/out")) == 0 && symlink("srv/git", at("in")) == 0
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	static const char *const made[] = {"etc", "srv/gitolite", "srv/git/x", "srv/git", "srv"};

	(void)state;
	(void)unlink(at("srv/git/out"));
	(void)unlink(at("in"));
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		(void)rmdir(at(made[i]));
	return rmdir(folder);
}

static int check(const char *entry, const char *path)
{
	const char *const list[] = {"https://example.org", entry, NULL};
	char real[PATH_MAX];
	struct error err = {0};
	int rc = allowed_path(list, path, real, &err);

	if (rc == -EPERM)
		assert_non_null(strstr(err.text, "`repositories:` of its runner.yml"));
	if (rc == 0)
		assert_null(strstr(real, "/in/"));
	return rc;
}

static void a_path_is_allowed_by_whole_components(void **state)
{
	(void)state;
	assert_int_equal(check(at("srv/git"), at("srv/git/x")), 0);
	assert_int_equal(check(at("srv/git/"), at("srv/git")), 0);
	assert_int_equal(check("/", at("etc")), 0);
	assert_int_equal(check(at("srv/git"), at("srv/gitolite")), -EPERM);
	assert_int_equal(check(at("srv/git/x"), at("srv/git")), -EPERM);
	assert_int_equal(check(at("srv/git"), at("etc")), -EPERM);
}

static void what_leads_out_of_an_allowed_path_is_not_below_it(void **state)
{
	(void)state;
	assert_int_equal(check(at("srv/git"), at("srv/git/../../etc")), -EPERM);
	assert_int_equal(check(at("srv/git"), at("srv/git/x/../../gitolite/../git/x")), 0);
	assert_int_equal(check(at("srv/git"), at("srv/git/out")), -EPERM);
	assert_int_equal(check(at("in"), at("srv/git/x")), 0);
	assert_int_equal(check(at("srv/git"), at("in/x")), 0);
}

static void only_who_may_have_it_is_told_that_it_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(check(at("srv/git"), at("srv/git/nothing")), -ENOENT);
	assert_int_equal(check(at("srv/git"), at("etc/nothing")), -EPERM);
	assert_int_equal(check(at("srv/git"), at("srv/git/../../etc/nothing")), -EPERM);
}

static void a_url_is_allowed_by_its_start(void **state)
{
	static const char *const list[] = {"/srv", "https://a.org/team", "git@b.org:", NULL};
	static const struct {
		const char *url;
		int rc;
	} cases[] = {
		{"https://a.org/team", 0},
		{"https://a.org/team/x.git", 0},
		{"git@b.org:x/y", 0},
		{"https://a.org/teamster/x", -EPERM},
		{"https://a.org", -EPERM},
		{"http://a.org/team/x", -EPERM},
		{"https://a.org/team@evil.org/x", -EPERM},
		{"https://a.org/team/../other/x", -EPERM},
		{"https://a.org/team/..", -EPERM},
		{"https://a.org/team/%2E%2e/other", -EPERM},
		{"https://a.org/team/..%2fother", -EPERM},
		{"git@b.org:../x", -EPERM},
		{"git@b.org.evil.org:x", -EPERM},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (allowed_url(list, cases[i].url, &err) != cases[i].rc)
			fail_msg("%s", cases[i].url);
}

static int read_text(const char *text, struct settings *s, struct error *err)
{
	int rc;

	*s = (struct settings){.ready_fd = -1};
	rc = config_parse("runner.yml", text, strlen(text), &s->file, err);
	return rc < 0 ? rc : settings_from_file("runner.yml", s->file, s, err);
}

static void the_list_comes_from_the_file(void **state)
{
	struct settings s;
	struct error err = {0};

	(void)state;
	assert_int_equal(
		read_text("labels: [a]\nrepositories: [/srv/git, 'git@h:']\nslots: 2\n", &s, &err),
		0);
	assert_string_equal(s.options.repositories[0], "/srv/git");
	assert_string_equal(s.options.repositories[1], "git@h:");
	assert_null(s.options.repositories[2]);
	assert_string_equal(s.options.labels[0], "a");
	settings_done(&s);
	assert_int_equal(read_text("repositories: []\n", &s, &err), 0);
	assert_null(s.options.repositories[0]);
	settings_done(&s);
}

static void what_is_no_place_of_repositories_is_refused_with_its_line(void **state)
{
	static const char *const wrong[] = {"srv/git", "file:///srv", "/srv/../etc", "[a]", "''"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char text[64];
		struct settings s;
		struct error err = {0};

		(void)snprintf(text, sizeof(text), "slots: 1\nrepositories: [%s]\n", wrong[i]);
		assert_int_equal(read_text(text, &s, &err), -EINVAL);
		assert_non_null(strstr(err.text, "runner.yml:2:"));
		settings_done(&s);
	}
}

static void the_command_line_wins(void **state)
{
	char path[PATH_MAX];
	char *argv[] = {(char *)"cupel-runner",   (char *)"--config",       path,
			(char *)"--state",        (char *)"/nowhere",       (char *)"--dispatcher",
			(char *)"unix:/nowhere",  (char *)"--labels",       (char *)"x,y",
			(char *)"--repositories", (char *)"/a,https://b/c", NULL};
	struct settings s;
	struct error err = {0};
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s", at("runner.yml"));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("repositories: [/z]\nlabels: [z]\n", file) > 0 && fclose(file) == 0);
	if (settings_read(11, argv, &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(unlink(path), 0);
	assert_string_equal(s.options.repositories[0], "/a");
	assert_string_equal(s.options.repositories[1], "https://b/c");
	assert_null(s.options.repositories[2]);
	assert_string_equal(s.options.labels[1], "y");
	settings_done(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_path_is_allowed_by_whole_components),
		TEST(what_leads_out_of_an_allowed_path_is_not_below_it),
		TEST(only_who_may_have_it_is_told_that_it_is_not_there),
		cmocka_unit_test(a_url_is_allowed_by_its_start),
		cmocka_unit_test(the_list_comes_from_the_file),
		cmocka_unit_test(what_is_no_place_of_repositories_is_refused_with_its_line),
		TEST(the_command_line_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
