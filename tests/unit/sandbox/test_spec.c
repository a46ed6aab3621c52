/* What a spec may say, and how nonsense is told. */
#include "sandbox/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const argv[] = {"true", NULL};

static void refused(const struct sandbox_spec *spec, const char *part)
{
	struct error err = {0};

	assert_int_equal(spec_check(spec, &err), -EINVAL);
	if (!strstr(err.text, part))
		fail_msg("'%s' isn't in: %s", part, err.text);
}

static void the_empty_spec_with_a_command_is_fine(void **state)
{
	struct sandbox_spec spec = {.argv = argv};

	(void)state;
	assert_int_equal(spec_check(&spec, NULL), 0);
}

static void a_command_is_needed(void **state)
{
	static const char *const none[] = {NULL}, *const empty[] = {"", NULL};

	(void)state;
	refused(&(struct sandbox_spec){0}, "no command");
	refused(&(struct sandbox_spec){.argv = none}, "no command");
	refused(&(struct sandbox_spec){.argv = empty}, "no command");
}

static void variables_need_a_name_and_a_value(void **state)
{
	static const char *const bad[] = {"A=1", "B", NULL}, *const nameless[] = {"=1", NULL};

	(void)state;
	refused(&(struct sandbox_spec){.argv = argv, .env = bad}, "'B' is not a variable");
	refused(&(struct sandbox_spec){.argv = argv, .env = nameless}, "not a variable");
}

static void names_cannot_climb(void **state)
{
	static const char *const names[] = {"", "..", "a/b", "-x", ".hidden", "a b", "a\nb"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refused(&(struct sandbox_spec){.argv = argv, .name = names[i]}, "job name");
	refused(&(struct sandbox_spec){.argv = argv, .cgroup_parent = "a/../b"}, "cgroup parent");
	refused(&(struct sandbox_spec){.argv = argv, .cgroup_parent = "/a"}, "cgroup parent");
}

static void binds_are_absolute_and_plain(void **state)
{
	static const char *const from[] = {"etc", "/a/../b", "/a//b", "/a/", "/", "/a/."};

	(void)state;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		struct sandbox_bind bind = {.from = from[i]};

		refused(&(struct sandbox_spec){.argv = argv, .binds = &bind, .bind_count = 1},
			"bind");
	}
}

static void binds_that_are_announced_are_there(void **state)
{
	(void)state;
	refused(&(struct sandbox_spec){.argv = argv, .bind_count = 1}, "1 binds are announced");
}

static void binds_cannot_cover_what_is_ours(void **state)
{
	static const char *const to[] = {"/proc", "/dev",   "/etc",       "/usr",
					 "/tmp",  "/build", "/proc/self", "/dev/null"};

	(void)state;
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		struct sandbox_bind bind = {.from = "/srv/x", .to = to[i]};

		refused(&(struct sandbox_spec){.argv = argv, .binds = &bind, .bind_count = 1},
			"the sandbox's own");
	}
}

static void the_workdir_stays_in_the_worktree(void **state)
{
	static const char *const dirs[] = {"", "/etc", "..", "a/../../b"};

	(void)state;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		refused(&(struct sandbox_spec){.argv = argv, .workdir = dirs[i]},
			"working directory");
	assert_int_equal(
		spec_check(&(struct sandbox_spec){.argv = argv, .workdir = "a/b..c"}, NULL), 0);
}

static void limits_make_sense(void **state)
{
	const struct sandbox_limits bad[] = {
		{.memory = 1},
		{.memory = UINT64_MAX},
		{.tasks = 1},
		{.tasks = UINT64_MAX},
		{.cpu_milli = 1},
		{.cpu_milli = UINT64_MAX},
		{.cpu_weight = 10001},
		{.cpu_time_ms = 1},
		{.wall_ms = UINT64_MAX},
		{.idle_ms = UINT64_MAX},
		{.output = UINT64_MAX},
		{.disk = 1},
		{.inodes = 1},
		{.files = 3},
		{.files = UINT64_MAX},
		{.io_read = 4095},
		{.io_write = UINT64_MAX},
		{.io_read_ops = UINT64_MAX},
		{.io_write_ops = UINT64_MAX},
		{.io_weight = 10001},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(&(struct sandbox_spec){.argv = argv, .limits = bad[i]}, "limit of");
}

static void ranges_are_told_as_people_write_them(void **state)
{
	(void)state;
	refused(&(struct sandbox_spec){.argv = argv, .limits = {.memory = 1024}},
		"memory is 1K: between 1M and 1048576T make sense");
	refused(&(struct sandbox_spec){.argv = argv, .limits = {.wall_ms = 367 * 86400000ULL}},
		"wall time is 367d: between 1ms and 366d make sense");
	refused(&(struct sandbox_spec){.argv = argv, .limits = {.cpu_milli = 5}},
		"cpus is 0.005: between 0.01 and 4096 make sense");
	refused(&(struct sandbox_spec){.argv = argv, .limits = {.tasks = 1}},
		"tasks is 1: between 2 and 4194304 make sense");
}

static void roots_own_id_is_never_given(void **state)
{
	(void)state;
	refused(&(struct sandbox_spec){.argv = argv, .id_count = 65536}, "root's own id");
	refused(&(struct sandbox_spec){.argv = argv, .id_base = 100, .id_count = 10}, "more than");
	refused(&(struct sandbox_spec){.argv = argv, .id_base = UINT32_MAX - 5, .id_count = 65536},
		"largest id");
}

static void a_cpuset_is_a_list_of_processors(void **state)
{
	struct sandbox_spec spec = {.argv = argv, .limits = {.cpuset = "all"}};

	(void)state;
	refused(&spec, "a list like 0-1,3");
	(void)strcpy(spec.limits.cpuset, "0-8192");
	refused(&spec, "processors 0 to 8191");
	memset(spec.limits.cpuset, '1', sizeof(spec.limits.cpuset)); /* without an end */
	refused(&spec, "longer than 255 bytes");
	(void)strcpy(spec.limits.cpuset, "0-1,3");
	assert_int_equal(spec_check(&spec, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_empty_spec_with_a_command_is_fine),
		cmocka_unit_test(a_command_is_needed),
		cmocka_unit_test(variables_need_a_name_and_a_value),
		cmocka_unit_test(names_cannot_climb),
		cmocka_unit_test(binds_are_absolute_and_plain),
		cmocka_unit_test(binds_that_are_announced_are_there),
		cmocka_unit_test(binds_cannot_cover_what_is_ours),
		cmocka_unit_test(the_workdir_stays_in_the_worktree),
		cmocka_unit_test(limits_make_sense),
		cmocka_unit_test(ranges_are_told_as_people_write_them),
		cmocka_unit_test(a_cpuset_is_a_list_of_processors),
		cmocka_unit_test(roots_own_id_is_never_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
