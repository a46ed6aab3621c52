#include "runner/detect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A tree in memory: path and content; "/" behind a path is a directory, "*" an executable. */
struct entry {
	const char *path, *content;
};

static int find(void *context, const char *path, struct error *err)
{
	size_t length = strlen(path);

	(void)err;
	for (const struct entry *e = context; e->path; e++) {
		if (strncmp(e->path, path, length) != 0)
			continue;
		if (!e->path[length])
			return e->content ? DETECT_FILE : DETECT_OTHER;
		if (strcmp(e->path + length, "*") == 0)
			return DETECT_EXECUTABLE;
		if (e->path[length] == '/')
			return DETECT_DIRECTORY;
	}
	return DETECT_NOTHING;
}

static int read_file(void *context, const char *path, size_t max, struct buffer *out,
		     struct error *err)
{
	(void)err;
	for (const struct entry *e = context; e->path; e++)
		if (strcmp(e->path, path) == 0)
			return strlen(e->content) > max
				       ? -EFBIG
				       : buffer_append(out, e->content, strlen(e->content));
	return -ENOENT;
}

static int list(void *context, const char *path, bool (*each)(void *with, const char *name),
		void *with, struct error *err)
{
	size_t length = strlen(path);

	(void)err;
	for (const struct entry *e = context; e->path; e++)
		if (strncmp(e->path, path, length) == 0 && e->path[length] == '/' &&
		    each(with, e->path + length + 1))
			break;
	return 0;
}

static void assert_found(struct entry *entries, const char *rule, const char *script)
{
	const struct detect_tree tree = {find, read_file, list, entries};
	owned(jobfile) *jobs = NULL;
	struct error err = {0};
	int rc = detect_jobs(&tree, &jobs, &err);

	if (!rule) {
		assert_int_equal(rc, -ENOENT);
		assert_non_null(strstr(err.text, ".cupel.yml"));
		return;
	}
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_string_equal(jobs->jobs[0]->rule, rule);
	assert_non_null(strstr(jobs->jobs[0]->run, script));
}

#define FOUND(rule, script, ...)                                                                   \
	do {                                                                                       \
		struct entry entries_[] = {__VA_ARGS__, {NULL, NULL}};                             \
		assert_found(entries_, rule, script);                                              \
	} while (0)

static void each_rule_fits_its_project(void **state)
{
	(void)state;
	FOUND(".cupel.yml", "x", {".cupel.yml", "jobs: {t: {run: x}}"});
	FOUND(".ci/run", "./.ci/run", {".ci/run*", ""});
	FOUND("ci/run", "./ci/run", {"ci/run*", ""});
	FOUND("Makefile", "make check", {"Makefile", "all:\n\ncheck: all\n\ttrue\n"});
	FOUND("Makefile", "make test", {"Makefile", "test:\n\ttrue\n"});
	FOUND("GNUmakefile", "make check", {"GNUmakefile", "check:\n"}, {"Makefile", "test:\n"});
	FOUND("CMakeLists.txt", "ctest", {"CMakeLists.txt", "project(x)\nEnable_Testing()\n"});
	FOUND("CMakeLists.txt", "ctest", {"CMakeLists.txt", "include(CTest)\n"});
	FOUND("meson.build", "meson test", {"meson.build", ""});
	FOUND("Cargo.toml", "cargo test", {"Cargo.toml", ""});
	FOUND("go.mod", "go test ./...", {"go.mod", ""});
	FOUND("package.json", "npm test",
	      {"package.json", "{\n\t\"scripts\": {\"test\": \"jest\"}\n}"});
	FOUND("tests/", "discover -v tests", {"tests/test_a.py", ""});
	FOUND("tests/", "-s tests -t .", {"tests/__init__.py", ""}, {"tests/test_a.py", ""});
}

static void the_first_rule_wins(void **state)
{
	(void)state;
	FOUND(".cupel.yml", "x", {".ci/run*", ""}, {".cupel.yml", "jobs: {t: {run: x}}"});
	FOUND(".ci/run", "", {"ci/run*", ""}, {".ci/run*", ""}, {"Makefile", "check:\n"});
	FOUND("Makefile", "make check", {"Makefile", "test:\ncheck:\n"}, {"Cargo.toml", ""});
	FOUND("Cargo.toml", "", {"go.mod", ""}, {"Cargo.toml", ""});
}

static void what_only_looks_like_it_does_not_fit(void **state)
{
	(void)state;
	FOUND(NULL, "", {".ci/run", "not executable"});
	FOUND(NULL, "", {".ci/run", NULL}); /* a link */
	FOUND(NULL, "",
	      {"Makefile", "all:\n\tcheck: no\n# check:\nCHECK=1\ncheck := 1\ncheck ::= 2\n"});
	FOUND(NULL, "", {"Makefile", ".PHONY: check\nx = check:y\nchecks: a\n"});
	FOUND(NULL, "", {"GNUmakefile", "all:\n"}, {"Makefile", "check:\n"});
	FOUND(NULL, "", {"CMakeLists.txt", "project(x)\n"});
	FOUND(NULL, "", {"package.json", "{\"scripts\": {\"build\": \"x\"}}"});
	FOUND(NULL, "",
	      {"package.json",
	       "{\"scripts\": {\"test\": \"echo \\\"Error: no test specified\\\"\"}}"});
	FOUND(NULL, "", {"package.json", "{"});
	FOUND(NULL, "", {"tests/helper.py", ""}, {"tests/test.txt", ""});
	FOUND(NULL, "", {"tests", "a file"});
	FOUND(NULL, "", {"README", ""});
}

static void several_targets_on_a_line_count(void **state)
{
	static const char *const targets[] = {"check", "test", NULL};
	const char *text = "all check  other:: x\n";

	(void)state;
	assert_string_equal(detect_make_target(text, strlen(text), targets), "check");
	assert_string_equal(detect_make_target("test:", 5, targets), "test");
	assert_null(detect_make_target("", 0, targets));
	assert_null(detect_make_target("check", 5, targets));
}

static void a_bad_job_file_is_no_reason_to_try_the_rules(void **state)
{
	struct entry entries[] = {
		{".cupel.yml", "jobs: x"}, {"Makefile", "check:\n"}, {NULL, NULL}};
	struct entry linked[] = {{".cupel.yml", NULL}, {"Makefile", "check:\n"}, {NULL, NULL}};
	struct detect_tree tree = {find, read_file, list, entries};
	struct jobfile *jobs = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(detect_jobs(&tree, &jobs, &err), -EINVAL);
	assert_non_null(strstr(err.text, ".cupel.yml:1:7: "));
	tree.context = linked;
	assert_int_equal(detect_jobs(&tree, &jobs, &err), -EINVAL);
	assert_non_null(strstr(err.text, ".cupel.yml:1:1: it must be a plain file"));
	assert_null(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_fits_its_project),
		cmocka_unit_test(the_first_rule_wins),
		cmocka_unit_test(what_only_looks_like_it_does_not_fit),
		cmocka_unit_test(several_targets_on_a_line_count),
		cmocka_unit_test(a_bad_job_file_is_no_reason_to_try_the_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
