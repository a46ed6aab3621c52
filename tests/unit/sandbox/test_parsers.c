/* The pure readers: options, id ranges, control groups, the kernel's log, and the report's writer.
 */
#include "sandbox/cgroup_place.h"
#include "sandbox/ids.h"
#include "sandbox/oom_log.h"
#include "sandbox/options.h"
#include "sandbox/outcome.h"
#include "sandbox/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct options *o, struct error *err, const char *const *words)
{
	int count = 0;

	while (words[count])
		count++;
	return options_parse(count, words, o, err);
}

#define WORDS(...) ((const char *const[]){"cupel-sandbox", __VA_ARGS__, NULL})

static void options_fill_the_spec(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(
		parse(&o, NULL,
		      WORDS("--memory", "512M", "--tasks=10", "--cpus", "1.5", "--wall", "10m",
			    "--bind", "/a:/b:rw", "--bind", "/c", "--env", "A=b=c", "--profile",
			    "strict", "--network", "host", "--", "make", "-j2")),
		0);
	assert_int_equal(o.spec.limits.memory, 512 << 20);
	assert_int_equal(o.spec.limits.tasks, 10);
	assert_int_equal(o.spec.limits.cpu_milli, 1500);
	assert_int_equal(o.spec.limits.wall_ms, 600000);
	assert_int_equal(o.spec.bind_count, 2);
	assert_string_equal(o.spec.binds[0].from, "/a");
	assert_string_equal(o.spec.binds[0].to, "/b");
	assert_true(o.spec.binds[0].writable);
	assert_false(o.spec.binds[1].writable);
	assert_string_equal(o.spec.env[0], "A=b=c");
	assert_int_equal(o.spec.profile, SANDBOX_STRICT);
	assert_int_equal(o.spec.network, SANDBOX_NETWORK_HOST);
	assert_string_equal(o.spec.argv[0], "make");
	assert_string_equal(o.spec.argv[1], "-j2");
	options_done(&o);
}

static void options_give_disks_and_processors_out(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, NULL,
			       WORDS("--io-read", "8M", "--io-write=1G", "--io-read-ops", "100",
				     "--io-write-ops", "5", "--io-weight", "50", "--cpu-weight",
				     "200", "--cpuset", "0-1,3", "true")),
			 0);
	assert_int_equal(o.spec.limits.io_read, 8 << 20);
	assert_int_equal(o.spec.limits.io_write, 1 << 30);
	assert_int_equal(o.spec.limits.io_read_ops, 100);
	assert_int_equal(o.spec.limits.io_write_ops, 5);
	assert_int_equal(o.spec.limits.io_weight, 50);
	assert_int_equal(o.spec.limits.cpu_weight, 200);
	assert_string_equal(o.spec.limits.cpuset, "0-1,3");
	options_done(&o);
}

static void the_command_needs_no_dashes(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, NULL, WORDS("--wall", "1s", "true", "--wall")), 0);
	assert_string_equal(o.spec.argv[0], "true");
	assert_int_equal(o.spec.profile, SANDBOX_CI);
	options_done(&o);
}

static void nonsense_is_told_with_its_option(void **state)
{
	static const struct {
		const char *words[6];
		const char *part;
	} bad[] = {
		{{"s", "--memory", "lots", "true"}, "--memory: 'lots' is not a size"},
		{{"s", "--memory", "99999999999999999999", "true"}, "--memory"},
		{{"s", "--wall", "-1", "true"}, "--wall"},
		{{"s", "--wall", "0", "true"}, "--wall"},
		{{"s", "--tasks", "-5", "true"}, "--tasks"},
		{{"s", "--tasks", "99999999999999999999", "true"}, "--tasks"},
		{{"s", "--cpus", "x", "true"}, "--cpus"},
		{{"s", "--io-read", "fast", "true"}, "--io-read: 'fast' is not a size"},
		{{"s", "--io-weight", "0", "true"}, "--io-weight"},
		{{"s", "--cpuset", "", "true"}, "--cpuset: '' is not a list of processors"},
		{{"s", "--cpuset", "1-0", "true"}, "list of processors"},
		{{"s", "--cpuset", "0-99999", "true"}, "list of processors"},
		{{"s", "--network", "lan", "true"}, "none and host"},
		{{"s", "--profile", "none", "true"}, "strict, ci and nested"},
		{{"s", "--bind", "/a:/b:xx", "true"}, "rw or ro"},
		{{"s", "--env", "A", "true"}, "NAME=VALUE"},
		{{"s", "--frobnicate", "true"}, "unknown option"},
		{{"s", "--memory"}, "needs a value"},
		{{"s", "--wall", "1s", "--"}, "no command"},
		{{"s", "--bare", "--workdir", "/x", "true"}, "exclude"},
		{{"s", "--cut-output", "true"}, "give that, too"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {0};
		struct options o;

		assert_int_equal(parse(&o, &err, bad[i].words), -EINVAL);
		if (!strstr(err.text, bad[i].part))
			fail_msg("'%s' isn't in: %s", bad[i].part, err.text);
	}
}

static void subordinate_ids_are_found_by_name_or_number(void **state)
{
	struct id_range range = {0};
	const char *text = "alice:100000:65536\nbob:1:5\n1007:300000:65536\nbob:200000:65536\n";

	(void)state;
	assert_true(ids_find_subordinate(text, "bob", 5, 1001, &range));
	assert_int_equal(range.outside, 200000);
	assert_true(ids_find_subordinate(text, NULL, 1007, 1001, &range));
	assert_int_equal(range.outside, 300000);
	assert_false(ids_find_subordinate(text, "ali", 5, 1001, &range));
	assert_false(ids_find_subordinate("x:0:65536\n", "x", 5, 1001, &range));
	assert_false(ids_find_subordinate("x:4294967295:65536", "x", 5, 1001, &range));
	assert_false(ids_find_subordinate("garbage\n:::\nx", "x", 5, 1001, &range));
}

static void a_hybrid_host_gives_places_in_both_hierarchies(void **state)
{
	struct places places;

	(void)state;
	places_parse("30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		     "31 24 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
		     "32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
		     "33 24 0:29 / /tmp rw - tmpfs tmpfs rw\n",
		     "4:memory:/a/b\n3:cpu,cpuacct:/\n0::/c\n", &places);
	assert_int_equal(places.count, 3);
	assert_string_equal(places.place[0].path, "/sys/fs/cgroup/memory/a/b");
	assert_int_equal(places.place[0].controllers, CONTROLLER_MEMORY);
	assert_string_equal(places.place[1].path, "/sys/fs/cgroup/cpu");
	assert_int_equal(places.place[1].controllers, CONTROLLER_CPU | CONTROLLER_CPUACCT);
	assert_true(places.place[2].v2);
	assert_string_equal(places.place[2].path, "/sys/fs/cgroup/unified/c");
}

static void a_group_outside_the_mount_is_no_place(void **state)
{
	struct places places;
	char remedy[512];

	(void)state;
	places_parse("30 24 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/../y\n",
		     &places);
	assert_int_equal(places.count, 0);
	places_parse("30 24 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		     "0::/docker/x/y\n", &places);
	assert_string_equal(places.place[0].path, "/sys/fs/cgroup/y");
	assert_false(places.foreign);
	places_parse("30 24 0:26 /../.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		     "31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		     "4:memory:/\n0::/\n", &places);
	assert_int_equal(places.count, 1);
	places_remedy(&places, CONTROLLER_MEMORY, true, remedy, sizeof(remedy));
	assert_non_null(strstr(remedy, "of a namespace outside"));
}

static void the_log_names_the_victim_and_whose_limit_it_was(void **state)
{
	const char *line = "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
			   "mems_allowed=0,oom_memcg=/cupel/job-1,task_memcg=/cupel/job-1,"
			   "task=cc1,pid=4711,uid=1000";
	const char *above = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/cupel,"
			    "task_memcg=/cupel/job-1,task=cc1,pid=4711,uid=1000";
	const char *host = "oom-kill:constraint=CONSTRAINT_NONE,global_oom,"
			   "task_memcg=/cupel/job-1,task=,oom_memcg=/job,pid=4711,uid=1000";
	struct oom_kill out = {0};

	(void)state;
	assert_true(oom_log_parse(line, "job-1", &out));
	assert_string_equal(out.victim, "cc1 (pid 4711)");
	assert_true(out.own_limit);
	assert_false(oom_log_parse(line, "ob-1", &out));
	assert_false(oom_log_parse(line, "job-12", &out));
	assert_false(oom_log_parse("oom-kill:,task_memcg=", "x", &out));
	assert_true(oom_log_parse(above, "job-1", &out));
	assert_false(out.own_limit);
	assert_true(oom_log_parse(host, "job-1", &out)); /* its name is no group */
	assert_false(out.own_limit);
}

static struct sandbox_outcome judge(struct ending e, struct sandbox_limits limits)
{
	struct sandbox_outcome out = {0};

	outcome_judge(&e, &limits, &out);
	return out;
}

static void each_ending_has_its_verdict_and_status(void **state)
{
	struct sandbox_limits l = {.memory = 1 << 20, .tasks = 5, .wall_ms = 1000};
	struct sandbox_outcome o;

	(void)state;
	o = judge((struct ending){.has_status = true}, l);
	assert_int_equal(o.verdict, SANDBOX_PASSED);
	o = judge((struct ending){.has_status = true, .status = 3 << 8}, l);
	assert_int_equal(o.verdict, SANDBOX_FAILED);
	assert_int_equal(o.exit_code, 3);
	assert_int_equal(o.shell_status, 3);
	o = judge((struct ending){.has_status = true, .status = 9}, l);
	assert_int_equal(o.verdict, SANDBOX_FAILED); /* its own kill -9, not a limit's */
	assert_int_equal(o.shell_status, 137);
	assert_null(o.limit);
	o = judge((struct ending){.has_status = true, .status = 9, .counts = {1, true, 0}}, l);
	assert_int_equal(o.verdict, SANDBOX_KILLED);
	assert_string_equal(o.limit, "memory");
	o = judge((struct ending){.has_status = true, .counts = {.tasks_refused = 1}}, l);
	assert_int_equal(o.verdict, SANDBOX_PASSED); /* it coped */
	o = judge((struct ending){.has_status = true,
				  .status = 256,
				  .counts = {.tasks_refused = 1},
				  .fewest_tasks = 5},
		  l);
	assert_string_equal(o.limit, "tasks");
	assert_int_equal(o.exit_code, 1);
	o = judge((struct ending){.cause = CAUSE_WALL}, l);
	assert_int_equal(o.verdict, SANDBOX_TIMED_OUT);
	assert_int_equal(o.shell_status, 124);
	o = judge((struct ending){.cause = CAUSE_CANCELLED, .reason = "by me"}, l);
	assert_int_equal(o.verdict, SANDBOX_CANCELLED);
	assert_string_equal(o.reason, "by me");
	o = judge((struct ending){.cause = CAUSE_NONE}, l);
	assert_int_equal(o.verdict, SANDBOX_ERRORED); /* gone without a word */
	assert_true(o.infrastructure);
}

static void assert_not_its_own_limit(const struct sandbox_outcome *o, const char *part)
{
	assert_int_equal(o->verdict, SANDBOX_ERRORED);
	assert_true(o->infrastructure);
	assert_int_equal(o->shell_status, 125);
	assert_null(o->limit);
	assert_non_null(strstr(o->reason, part));
	assert_non_null(strstr(o->reason, "a group above"));
}

static void a_limit_that_was_not_reached_is_not_blamed_for_memory(void **state)
{
	struct ending e = {.cause = CAUSE_MEMORY, .counts = {.oom_kills = 1}};
	struct sandbox_outcome o = judge(e, (struct sandbox_limits){.memory = 1 << 20});

	(void)state;
	assert_not_its_own_limit(&o, "a process was killed for want of memory within the limit");
	e = (struct ending){.has_status = true, .status = 9, .counts = {.oom_kills = 1}};
	o = judge(e, (struct sandbox_limits){0});
	assert_not_its_own_limit(&o, "without a limit");
	e.status = 0;
	o = judge(e, (struct sandbox_limits){0});
	assert_int_equal(o.verdict, SANDBOX_PASSED); /* it coped */
}

static void a_limit_that_was_not_reached_is_not_blamed_for_tasks(void **state)
{
	struct ending e = {.has_status = true,
			   .status = 256,
			   .counts = {.tasks_refused = 2},
			   .fewest_tasks = 500};
	const struct sandbox_limits limits = {.tasks = 500};
	struct sandbox_outcome o = {.usage = {.measured = SANDBOX_MEASURED_TASKS, .tasks_peak = 5}};

	(void)state;
	outcome_judge(&e, &limits, &o);
	assert_not_its_own_limit(&o, "a fork was refused 2 times");
	o.usage.tasks_peak = 500;
	outcome_judge(&e, &limits, &o);
	assert_string_equal(o.limit, "tasks");
	o.usage.tasks_peak = 20;
	e.fewest_tasks = 20; /* then it was raised */
	outcome_judge(&e, &limits, &o);
	assert_string_equal(o.limit, "tasks");
}

static void a_failed_step_is_named_with_its_remedy(void **state)
{
	struct ending e = {.failure = {WORD_FAILED, STEP_PROC, EPERM, "proc", 0}};
	struct sandbox_outcome o = judge(e, (struct sandbox_limits){0});

	(void)state;
	assert_true(o.infrastructure);
	assert_int_equal(o.shell_status, 125);
	assert_non_null(strstr(o.reason, "mount /proc"));
	assert_non_null(strstr(o.reason, "Operation not permitted"));
	assert_non_null(strstr(o.reason, "unmasked /proc"));
	e.failure = (struct message){WORD_FAILED, STEP_BINDS, ENOENT, "/usr/x", 0};
	o = judge(e, (struct sandbox_limits){0});
	assert_false(o.infrastructure); /* nor is it there on another box */
	assert_non_null(strstr(o.reason, "make that place first"));
	e.failure = (struct message){WORD_FAILED, STEP_EXEC, ENOENT, "nosuch", 0};
	o = judge(e, (struct sandbox_limits){0});
	assert_false(o.infrastructure);
	assert_int_equal(o.shell_status, 127);
}

static void the_report_is_json_whatever_the_reason_holds(void **state)
{
	struct sandbox_outcome o = {.verdict = SANDBOX_ERRORED,
				    .exit_code = -1,
				    .reason = "a \"b\"\\\n\x80",
				    .denied = {{.name = "mount", .count = 2, .hint = "x"}},
				    .denied_count = 1};
	owned_buffer text = {0};

	(void)state;
	assert_int_equal(report_json(&o, &text), 0);
	assert_non_null(strstr(text.data, "\"reason\": \"a \\\"b\\\"\\\\\\u000a\\u0080\""));
	assert_non_null(strstr(text.data, "\"exit_code\": null"));
	assert_non_null(strstr(text.data, "\"limit\": null"));
	assert_non_null(strstr(text.data, "{\"name\": \"mount\", \"count\": 2, \"hint\": \"x\"}"));
}

static void the_report_says_null_for_what_nothing_measured(void **state)
{
	struct sandbox_outcome o = {
		.usage = {.measured = SANDBOX_MEASURED_TASKS | SANDBOX_MEASURED_PRESSURE,
			  .wall_ms = 7,
			  .tasks_peak = 3,
			  .pressure_io_ms = 5}};
	owned_buffer text = {0};

	(void)state;
	assert_int_equal(report_json(&o, &text), 0);
	assert_non_null(strstr(text.data, "\"wall_ms\": 7, \"cpu_ms\": null"));
	assert_non_null(strstr(text.data, "\"memory_peak\": null, \"tasks_peak\": 3, "
					  "\"disk_peak\": null, \"io_read_bytes\": null, "
					  "\"io_write_bytes\": null, \"output_bytes\": 0"));
	assert_non_null(strstr(text.data, "\"pressure_cpu_ms\": 0, \"pressure_memory_ms\": 0, "
					  "\"pressure_io_ms\": 5}"));
}

static void what_is_missing_is_told_with_what_to_do(void **state)
{
	static const struct {
		struct places places;
		bool root;
		const char *says;
	} all[] = {
		{{.error = EMFILE}, true, "can't be read (Too many open files)"},
		{{.count = 0}, true, "mount -t cgroup2"},
		{{.place = {{.v2 = true, .error = EROFS, .path = "/sys/fs/cgroup"}}, .count = 1},
		 true,
		 "/sys/fs/cgroup is on a read-only mount"},
		{{.place = {{.v2 = true, .error = EACCES}}, .count = 1},
		 false,
		 "systemd-run --user"},
		{{.place = {{.v2 = true, .error = EACCES}}, .count = 1}, true, "from its root"},
		/* v1: the hierarchy that has it, and no delegation to be asked of systemd. */
		{{.place = {{.v2 = true},
			    {.error = EACCES, .controllers = CONTROLLER_CPU, .path = "/cpu"},
			    {.error = EACCES, .controllers = CONTROLLER_MEMORY, .path = "/memory"}},
		  .count = 3},
		 false,
		 "/memory can't be used (Permission denied); run as root"},
		{{.place = {{.v2 = true}}, .count = 1}, false, "the controller memory"},
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		places_remedy(&all[i].places, CONTROLLER_MEMORY, all[i].root, text, sizeof(text));
		if (!strstr(text, all[i].says))
			fail_msg("'%s' isn't in: %s", all[i].says, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_fill_the_spec),
		cmocka_unit_test(options_give_disks_and_processors_out),
		cmocka_unit_test(the_command_needs_no_dashes),
		cmocka_unit_test(nonsense_is_told_with_its_option),
		cmocka_unit_test(subordinate_ids_are_found_by_name_or_number),
		cmocka_unit_test(a_hybrid_host_gives_places_in_both_hierarchies),
		cmocka_unit_test(a_group_outside_the_mount_is_no_place),
		cmocka_unit_test(the_log_names_the_victim_and_whose_limit_it_was),
		cmocka_unit_test(each_ending_has_its_verdict_and_status),
		cmocka_unit_test(a_limit_that_was_not_reached_is_not_blamed_for_memory),
		cmocka_unit_test(a_limit_that_was_not_reached_is_not_blamed_for_tasks),
		cmocka_unit_test(a_failed_step_is_named_with_its_remedy),
		cmocka_unit_test(the_report_is_json_whatever_the_reason_holds),
		cmocka_unit_test(the_report_says_null_for_what_nothing_measured),
		cmocka_unit_test(what_is_missing_is_told_with_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
