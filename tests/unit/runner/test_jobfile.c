#include "runner/jobfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct jobfile *read_text(const char *text)
{
	struct jobfile *file = NULL;
	struct error err = {0};

	if (jobfile_parse(".cupel.yml", text, strlen(text), &file, &err) < 0)
		fail_msg("%s", err.text);
	return file;
}

static void refuse(const char *text, const char *complaint)
{
	struct jobfile *file = NULL;
	struct error err = {0};

	assert_int_equal(jobfile_parse(".cupel.yml", text, strlen(text), &file, &err), -EINVAL);
	assert_null(file);
	if (strncmp(err.text, complaint, strlen(complaint)) != 0)
		fail_msg("expected: %s\n     got: %s", complaint, err.text);
}

#define owned_jobs owned(jobfile)

static void the_example_of_the_reference_is_read(void **state)
{
	owned_jobs *f =
		read_text("jobs:\n"
			  "  build:\n"
			  "    run: make\n"
			  "  test:\n"
			  "    run: make check            # sh -eu\n"
			  "    env: {CC: clang, WORD: 'a: b'}\n"
			  "    matrix: {CC: [gcc, clang]}\n"
			  "    needs: [build]\n"
			  "    limits: {wall: 10m, idle: 2m, memory: 2G, cpus: 2, tasks: 512, "
			  "disk: 4G, output: 64M, cpu_time: 1h, inodes: 1000, files: 256}\n"
			  "    network: none\n"
			  "    profile: strict\n"
			  "    labels: [linux, x86_64]\n"
			  "    retry: {timed_out: 1, failed: 0}\n");
	const Cupel__JobSpec *s;

	(void)state;
	assert_int_equal(f->count, 3);
	s = f->jobs[1];
	assert_string_equal(s->name, "test (CC=gcc)");
	assert_string_equal(s->run, "make check");
	assert_int_equal(s->n_env, 2);
	assert_string_equal(s->env[0]->value, "gcc"); /* the matrix wins over env */
	assert_string_equal(s->env[1]->value, "a: b");
	assert_int_equal(s->n_needs, 1);
	assert_string_equal(s->needs[0], "build");
	assert_int_equal(s->limits->wall_ms, 600000);
	assert_int_equal(s->limits->idle_ms, 120000);
	assert_int_equal(s->limits->memory, 2ull << 30);
	assert_int_equal(s->limits->cpu_milli, 2000);
	assert_int_equal(s->limits->tasks, 512);
	assert_int_equal(s->limits->disk, 4ull << 30);
	assert_int_equal(s->limits->output, 64 << 20);
	assert_int_equal(s->limits->cpu_time_ms, 3600000);
	assert_int_equal(s->limits->inodes, 1000);
	assert_int_equal(s->limits->files, 256);
	assert_string_equal(s->profile, "strict");
	assert_string_equal(s->labels[1], "x86_64");
	assert_int_equal(s->n_retry, 2);
	assert_string_equal(s->retry[1]->key, "failed");
	assert_int_equal(s->retry[1]->value, 0);
	assert_string_equal(s->rule, ".cupel.yml");
	assert_string_equal(f->jobs[2]->name, "test (CC=clang)");
	assert_string_equal(f->jobs[2]->env[0]->value, "clang");
}

static void defaults_are_the_strict_ones(void **state)
{
	owned_jobs *f = read_text("jobs: {t: {run: 'true'}}");

	(void)state;
	assert_string_equal(f->jobs[0]->network, "none");
	assert_string_equal(f->jobs[0]->profile, "ci");
	assert_int_equal(f->jobs[0]->limits->wall_ms, 0);
	assert_int_equal(f->jobs[0]->n_retry, 0);
}

static void a_script_may_be_a_list_of_lines(void **state)
{
	owned_jobs *f = read_text("jobs:\n  t:\n    run:\n      - ./configure\n      - make\n");

	(void)state;
	assert_string_equal(f->jobs[0]->run, "./configure\nmake");
}

static void a_matrix_is_every_combination_in_order(void **state)
{
	static const char *const names[] = {"t (A=1, B=x)", "t (A=1, B=y)", "t (A=1, B=z)",
					    "t (A=2, B=x)", "t (A=2, B=y)", "t (A=2, B=z)"};
	owned_jobs *f = read_text("jobs: {t: {run: x, matrix: {A: [1, 2], B: [x, y, z]}}}");

	(void)state;
	assert_int_equal(f->count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(f->jobs[i]->name, names[i]);
}

static void needs_mean_all_jobs_of_a_matrix(void **state)
{
	owned_jobs *f =
		read_text("jobs: {late: {run: x, needs: [t]}, t: {run: x, matrix: {A: [1, 2]}}}");

	(void)state;
	assert_int_equal(f->jobs[0]->n_needs, 2);
	assert_string_equal(f->jobs[0]->needs[0], "t (A=1)");
	assert_string_equal(f->jobs[0]->needs[1], "t (A=2)");
}

static void a_wrong_key_is_told_by_place(void **state)
{
	(void)state;
	refuse("jobs:\n  test:\n    run: true\n    wal: 3m\n", ".cupel.yml:4:5: ");
	refuse("job: {}\n", ".cupel.yml:1:1: ");
	refuse("jobs: {t: {run: x, limits: {wal: 3m}}}", ".cupel.yml:1:29: ");
	refuse("jobs: {t: {run: x, retry: {passed: 1}}}", ".cupel.yml:1:28: ");
}

static void what_yaml_allows_and_we_dont_is_refused(void **state)
{
	(void)state;
	refuse("jobs:\n  t:\n    run: a\n    run: b\n", ".cupel.yml:4:5: ");
	refuse("jobs:\n  t: &x {run: a}\n  u: *x\n", ".cupel.yml:2:");
	refuse("jobs: {t: {run: !!str x}}", ".cupel.yml:1:");
	refuse("jobs: [", ".cupel.yml:");
	refuse("", ".cupel.yml:1:1: there are no jobs");
	refuse("[]", ".cupel.yml:1:1: expected a map");
	refuse("x", ".cupel.yml:1:1: expected a map");
}

static void wrong_types_are_told_by_place(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{"jobs: x", ".cupel.yml:1:7: 'jobs' must be a map"},
		{"jobs: {}", ".cupel.yml:1:7: 'jobs' must be a map with at least one job"},
		{"jobs: {t: x}", ".cupel.yml:1:11: job 't' must be a map"},
		{"jobs: {t: {}}", ".cupel.yml:1:11: job 't' has no 'run'"},
		{"jobs: {t: {run: {}}}", ".cupel.yml:1:17: 'run' must be"},
		{"jobs: {t: {run: []}}", ".cupel.yml:1:17: 'run' is empty"},
		{"jobs: {t: {run: ' '}}", ".cupel.yml:1:17: 'run' is empty"},
		{"jobs: {t: {run: [[x]]}}", ".cupel.yml:1:18: expected a line"},
		{"jobs: {t: {run: x, env: []}}", ".cupel.yml:1:25: 'env' must be a map"},
		{"jobs: {t: {run: x, env: {A: []}}}", ".cupel.yml:1:29: the value of 'A'"},
		{"jobs: {t: {run: x, env: {1A: x}}}", ".cupel.yml:1:30: '1A' can't be a variable"},
		{"jobs: {t: {run: x, env: {CUPEL_RUN: x}}}", ".cupel.yml:1:37: 'CUPEL_RUN': names"},
		{"jobs: {t: {run: x, matrix: x}}", ".cupel.yml:1:28: 'matrix' must be"},
		{"jobs: {t: {run: x, matrix: {A: x}}}", ".cupel.yml:1:32: 'A' must be a list"},
		{"jobs: {t: {run: x, matrix: {A: []}}}", ".cupel.yml:1:32: 'A' must be a list"},
		{"jobs: {t: {run: x, matrix: {A: [1, 1]}}}", ".cupel.yml:1:36: '1' is in the list"},
		{"jobs: {t: {run: x, matrix: {A: [[]]}}}",
		 ".cupel.yml:1:33: expected a matrix value"},
		{"jobs: {t: {run: x, needs: t}}", ".cupel.yml:1:27: 'needs' must be a list"},
		{"jobs: {t: {run: x, limits: []}}", ".cupel.yml:1:28: 'limits' must be a map"},
		{"jobs: {t: {run: x, limits: {wall: 0}}}", ".cupel.yml:1:35: 'wall' must be more"},
		{"jobs: {t: {run: x, limits: {wall: fast}}}", ".cupel.yml:1:35: "},
		{"jobs: {t: {run: x, limits: {cpus: 9999999}}}", ".cupel.yml:1:35: more than"},
		{"jobs: {t: {run: x, limits: {tasks: -1}}}", ".cupel.yml:1:36: "},
		{"jobs: {t: {run: x, network: all}}", ".cupel.yml:1:29: 'network' is either"},
		{"jobs: {t: {run: x, profile: lax}}", ".cupel.yml:1:29: 'profile' is one of"},
		{"jobs: {t: {run: x, labels: x}}", ".cupel.yml:1:28: 'labels' must be a list"},
		{"jobs: {t: {run: x, labels: ['a b']}}", ".cupel.yml:1:29: a label is"},
		{"jobs: {t: {run: x, retry: 1}}", ".cupel.yml:1:27: 'retry' must be a map"},
		{"jobs: {t: {run: x, retry: {failed: 99}}}", ".cupel.yml:1:36: "},
		{"jobs: {t: {run: x, reports: [a]}}",
		 ".cupel.yml:1:29: 'reports' is not available"},
		{"jobs: {t: {run: x, artifacts: [a]}}",
		 ".cupel.yml:1:31: 'artifacts' is not avail"},
		{"jobs: {'a b': {run: x}}", ".cupel.yml:1:15: 'a b' can't be a job's name"},
		{"jobs: {'-a': {run: x}}", ".cupel.yml:1:14: '-a' can't be a job's name"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refuse(cases[i].text, cases[i].complaint);
}

static void needs_in_a_circle_or_of_nobody_are_refused(void **state)
{
	(void)state;
	refuse("jobs: {a: {run: x, needs: [b]}}", ".cupel.yml:1:28: no job is named 'b'");
	refuse("jobs: {a: {run: x, needs: [a]}}", ".cupel.yml:1:28: 'a' needs 'a', which waits");
	refuse("jobs:\n  a: {run: x, needs: [b]}\n  b: {run: x, needs: [c]}\n"
	       "  c: {run: x, needs: [a]}\n",
	       ".cupel.yml:4:23: 'c' needs 'a', which waits");
	refuse("jobs: {a: {run: x}, b: {run: x, needs: [a, a]}}",
	       ".cupel.yml:1:44: 'a' is in the list twice");
	refuse("jobs: {a: {run: x, matrix: {V: [1]}}, b: {run: x, needs: ['a (V=1)']}}",
	       ".cupel.yml:1:59: no job is named");
}

static void a_diamond_of_needs_is_no_circle(void **state)
{
	owned_jobs *f = read_text("jobs:\n  d: {run: x, needs: [b, c]}\n  c: {run: x, needs: [a]}\n"
				  "  b: {run: x, needs: [a]}\n  a: {run: x}\n");

	(void)state;
	assert_int_equal(f->count, 4);
	assert_int_equal(f->jobs[0]->n_needs, 2);
}

static void a_file_of_too_much_is_refused(void **state)
{
	static char text[JOBFILE_MAX + 2];
	size_t n = 0;

	(void)state;
	refuse("jobs: {t: {run: x, matrix: {A: [1,2,3,4,5,6,7,8,9], B: [1,2,3,4,5,6,7,8,9], "
	       "C: [1,2,3,4]}}}",
	       ".cupel.yml:1:28: the matrix makes more than 256 jobs");
	refuse("jobs: {t: {run: x, matrix: {A: [1,2,3,4,5,6,7,8], B: [1,2,3,4,5,6,7,8], "
	       "C: [1,2,3,4]}}, u: {run: x}}",
	       ".cupel.yml:1:7: the file makes 257 jobs");
	memset(text, '#', sizeof(text) - 1);
	refuse(text, ".cupel.yml:1:1: the file has");
	n = (size_t)snprintf(text, sizeof(text), "jobs: {t: {run: '");
	memset(text + n, 'x', MESSAGE_SCRIPT_MAX + 1);
	(void)snprintf(text + n + MESSAGE_SCRIPT_MAX + 1, 8, "'}}");
	refuse(text, ".cupel.yml:1:17: a script of 65537 bytes");
	n = (size_t)snprintf(text, sizeof(text), "jobs: {t: {run: x, matrix: {A: [");
	memset(text + n, 'v', 200);
	(void)snprintf(text + n + 200, 8, "]}}}");
	refuse(text, ".cupel.yml:1:28: the matrix makes a job name of");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	struct jobfile *file = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(jobfile_parse("f", "jobs: {t: {run: 'a\0b'}}", 24, &file, &err), -EINVAL);
	assert_int_equal(jobfile_parse("f", "jobs: {t: {run: \xff}}", 20, &file, &err), -EINVAL);
	assert_null(file);
}

static void a_rule_makes_one_job(void **state)
{
	owned_jobs *f = NULL;

	(void)state;
	assert_int_equal(jobfile_single("Makefile", "make check", &f, NULL), 0);
	assert_int_equal(f->count, 1);
	assert_string_equal(f->jobs[0]->name, "test");
	assert_string_equal(f->jobs[0]->run, "make check");
	assert_string_equal(f->jobs[0]->rule, "Makefile");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_reference_is_read),
		cmocka_unit_test(defaults_are_the_strict_ones),
		cmocka_unit_test(a_script_may_be_a_list_of_lines),
		cmocka_unit_test(a_matrix_is_every_combination_in_order),
		cmocka_unit_test(needs_mean_all_jobs_of_a_matrix),
		cmocka_unit_test(a_wrong_key_is_told_by_place),
		cmocka_unit_test(what_yaml_allows_and_we_dont_is_refused),
		cmocka_unit_test(wrong_types_are_told_by_place),
		cmocka_unit_test(needs_in_a_circle_or_of_nobody_are_refused),
		cmocka_unit_test(a_diamond_of_needs_is_no_circle),
		cmocka_unit_test(a_file_of_too_much_is_refused),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(a_rule_makes_one_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
