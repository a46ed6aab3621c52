/* not under valgrind: it lacks the mount and pidfd calls */
/* Limits, freezing and the end of a job in whichever control groups the caller has, whoever he is:
 * root or a user, v1 or v2. What can't be held must be refused.
 *
 *   test_limits [direct] [launcher] [refusals]     these parts; none: all */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/job.h"
#include "sandbox/oom_log.h"
#include "tests/unit/sandbox/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* For jobs that wait in vain for it to be over. */
#define LONG_MS  120000
#define SOON_MS  60000
#define MEMORY   (32 << 20)
#define HOG      "dd if=/dev/zero of=/dev/null bs=96M count=1 && echo had"
#define TEN_MORE "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1 & done; wait; echo all"
#define BUSY     "while :; do :; done"

/* Without groups a user's job has its limit of tasks, too; but nobody is told, nor can it change.
 */
#define TASKS_IN_GROUPS (SANDBOX_CAN_TASKS | SANDBOX_CAN_FREEZE)

static struct job job;
static const struct sandbox_limits none;
static const char *parent; /* of its groups; NULL: the usual one */

static bool lacks(unsigned can, const char *test)
{
	if ((sandbox_can() & can) == can)
		return false;
	print_message("SKIP %s: no control groups here can do that for this user\n", test);
	return true;
}

#define NEEDS(can)                                                                                 \
	do {                                                                                       \
		if (lacks(can, __func__))                                                          \
			skip();                                                                    \
	} while (0)

#define NEEDS_TRACING()                                                                            \
	do {                                                                                       \
		if (geteuid() != 0 || !(sandbox_can() & SANDBOX_CAN_FREEZE)) {                     \
			print_message("SKIP %s: a job's process can't be traced from outside\n",   \
				      __func__);                                                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* A worktree whose fifo holds a job back until it may go on. */
static char worktree[] = "/dev/shm/cupel-test-XXXXXX";
static char fifo[sizeof(worktree) + 3];
static int go = -1;

static int make_worktree(void)
{
	if (!mkdtemp(worktree))
		return -1;
	(void)snprintf(fifo, sizeof(fifo), "%s/go", worktree);
	if (mkfifo(fifo, 0666) < 0 || chmod(fifo, 0666) < 0 ||
	    (geteuid() == 0 && chown(worktree, TEST_UID, TEST_UID) < 0))
		return -1;
	go = open(fifo, O_RDWR | O_CLOEXEC);
	return go < 0 ? -1 : 0;
}

static void remove_worktree(void)
{
	(void)close(go);
	(void)unlink(fifo);
	(void)rmdir(worktree);
}

static struct sandbox *start(struct sandbox_limits limits, const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct sandbox_spec spec = {.argv = argv,
				    .name = job_groups,
				    .cgroup_parent = parent,
				    .worktree = worktree,
				    .limits = limits,
				    .launcher = job_launcher,
				    .output = job_output,
				    .context = &job};
	struct sandbox *s = NULL;
	struct error err = {0};

	memset(&job, 0, sizeof(job));
	if (!spec.limits.wall_ms)
		spec.limits.wall_ms = LONG_MS;
	if (sandbox_start(&spec, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static void step_to_the_end(struct sandbox *s)
{
	int64_t end = clock_boot_ms() + LONG_MS + SOON_MS;

	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, 1000);
		if (clock_boot_ms() > end)
			fail_msg("it doesn't end");
	}
}

static void finish(struct sandbox *s)
{
	step_to_the_end(s);
	sandbox_outcome(s, &job.outcome);
	sandbox_free(s);
}

/* A job that has these limits when it starts, and others before it does anything. */
static void run_between(struct sandbox_limits first, struct sandbox_limits then, const char *script)
{
	char waiting[256];
	struct sandbox *s;
	struct error err = {0};

	(void)snprintf(waiting, sizeof(waiting), "read x < go; %s", script);
	s = start(first, waiting);
	if (!then.wall_ms)
		then.wall_ms = LONG_MS;
	if (sandbox_set_limits(s, &then, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(write(go, "\n", 1), 1);
	finish(s);
}

static void wait_ms(struct sandbox *s, int ms)
{
	for (int64_t end = clock_boot_ms() + ms; clock_boot_ms() < end;) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, 20);
		(void)sandbox_step(s, NULL);
	}
}

static void wait_for_word(struct sandbox *s, const char *word)
{
	int64_t end = clock_boot_ms() + SOON_MS;

	while (!strstr(job.output, word)) {
		if (clock_boot_ms() > end)
			fail_msg("'%s' isn't in the output: %s", word, job.output);
		wait_ms(s, 20);
	}
}

static void assert_killed_for(const char *limit)
{
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, limit);
	assert_true(job.outcome.usage.wall_ms < SOON_MS);
}

static uint64_t cpu_ms(struct sandbox *s)
{
	struct sandbox_usage usage;

	sandbox_usage(s, &usage);
	return usage.cpu_user_ms + usage.cpu_system_ms;
}

/* --- limits from the start ------------------------------------------------------------------ */

static void the_whole_job_dies_of_one_process_memory(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	finish(start((struct sandbox_limits){.memory = MEMORY}, HOG "; sleep 120"));
	assert_killed_for("memory");
	assert_in_range(job.outcome.usage.memory_peak, MEMORY / 2, MEMORY);
}

static void less_memory_than_the_limit_is_fine(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	finish(start((struct sandbox_limits){.memory = 256 << 20}, HOG));
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "had\n");
}

static void files_count_as_memory(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	finish(start((struct sandbox_limits){.memory = MEMORY},
		     "head -c 200000000 /dev/zero > /tmp/x; wc -c < /tmp/x; true"));
	assert_true(job.outcome.usage.memory_peak <= MEMORY);
	assert_null(strstr(job.output, "200000000"));
}

static void tasks_are_limited(void **state)
{
	(void)state;
	NEEDS(TASKS_IN_GROUPS);
	finish(start((struct sandbox_limits){.tasks = 6}, TEN_MORE));
	assert_killed_for("tasks");
	assert_null(strstr(job.output, "all"));
	finish(start((struct sandbox_limits){.tasks = 20}, TEN_MORE));
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "all\n");
}

static void processor_time_of_all_processes_is_limited(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU_TIME);
	finish(start((struct sandbox_limits){.cpu_time_ms = 300}, "(" BUSY ") & " BUSY));
	assert_killed_for("cpu_time");
}

static void assert_held_below(unsigned percent)
{
	const struct sandbox_usage *u = &job.outcome.usage;

	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_true((u->cpu_user_ms + u->cpu_system_ms) * 100 < u->wall_ms * percent);
}

static void bandwidth_is_limited(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU);
	finish(start((struct sandbox_limits){.cpu_milli = 200, .wall_ms = 1000},
		     "(" BUSY ") & " BUSY));
	assert_held_below(45);
}

static void all_limits_hold_together(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY | SANDBOX_CAN_TASKS | SANDBOX_CAN_CPU | SANDBOX_CAN_CPU_TIME);
	finish(start((struct sandbox_limits){.memory = 64 << 20,
					     .tasks = 50,
					     .cpu_milli = 1500,
					     .cpu_weight = 50,
					     .cpu_time_ms = 60000,
					     .output = 1000,
					     .idle_ms = 60000},
		     "echo here; cat /proc/self/cgroup"));
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "here\n");
	assert_null(strstr(job.output, job_groups)); /* nor does it learn where it is */
}

/* Each limit alone: it can be held here, or the job doesn't run. */
static void what_cannot_be_held_is_refused(void **state)
{
	static const struct {
		unsigned can;
		struct sandbox_limits limits;
	} all[] = {
		{SANDBOX_CAN_MEMORY, {.memory = 64 << 20}},
		{SANDBOX_CAN_CPU, {.cpu_milli = 500}},
		{SANDBOX_CAN_CPU, {.cpu_weight = 50}},
		{SANDBOX_CAN_CPU_TIME, {.cpu_time_ms = 10000}},
		{SANDBOX_CAN_CPUSET, {.cpuset = "0"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		job_run((struct sandbox_spec){.limits = all[i].limits}, "echo ran", &job);
		if (sandbox_can() & all[i].can) {
			assert_verdict(&job, SANDBOX_PASSED);
			continue;
		}
		assert_verdict(&job, SANDBOX_ERRORED);
		assert_non_null(strstr(job.outcome.reason, "can't be held here"));
		assert_true(job.outcome.infrastructure);
		assert_int_equal(job.length, 0);
	}
}

/* --- limits of others ----------------------------------------------------------------------- */

static char above[80]; /* the group above a job's */

static const struct place *place_of(unsigned controller)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++)
		if (places->place[i].dir >= 0 && (places->place[i].controllers & controller))
			return &places->place[i];
	fail_msg("nobody has that controller");
	return NULL;
}

/* Makes that group where the controller is. */
static void limit_above(unsigned controller, const char *v2, const char *v1, const char *value)
{
	const struct place *place = place_of(controller);
	owned_fd dir = -1;

	(void)snprintf(above, sizeof(above), "%s-above", job_groups);
	assert_true(mkdirat(place->dir, above, 0755) == 0 || errno == EEXIST);
	dir = openat(place->dir, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(cgroup_write_text(dir, place->v2 ? v2 : v1, value), 0);
}

/* At the end: till then a launcher may keep groups ready below it. */
static void remove_above(void)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count && above[0]; i++)
		if (places->place[i].dir >= 0)
			(void)unlinkat(places->place[i].dir, above, AT_REMOVEDIR);
}

static void finish_below(struct sandbox_limits limits, const char *script)
{
	parent = above;
	finish(start(limits, script));
	parent = NULL;
}

static void assert_not_its_own_limit(void)
{
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_true(job.outcome.infrastructure);
	assert_null(job.outcome.limit);
	if (!strstr(job.outcome.reason, "a group above"))
		fail_msg("%s", job.outcome.reason);
}

static void a_file_of_the_kernels_is_no_name(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_TASKS | SANDBOX_CAN_FREEZE);
	job_run((struct sandbox_spec){.name = "cgroup.procs"}, "true", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_false(job.outcome.infrastructure);
	assert_non_null(strstr(job.outcome.reason, "'cgroup.procs' is a file"));
}

static void memory_that_a_group_above_lacks_is_not_the_jobs_fault(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	limit_above(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", "50331648");
	finish_below((struct sandbox_limits){.memory = 256 << 20}, HOG "; sleep 120");
	assert_not_its_own_limit();
	assert_true(job.outcome.usage.wall_ms < SOON_MS);
	finish_below(none, HOG);
	assert_not_its_own_limit();
	finish_below((struct sandbox_limits){.memory = MEMORY}, HOG "; sleep 120");
	assert_killed_for("memory");
	limit_above(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", "8G");
}

/* v1's groups don't tell, and the kernel's log doesn't tell everybody, nor more than ten kills in
 * five seconds of all on the box. */
static bool log_may_be_read(void)
{
	owned_fd log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return log >= 0;
}

/* Its own limit is what it once used, and a group above has less. */
static void want_what_is_above(void)
{
	const struct sandbox_limits less = {.memory = 48 << 20, .wall_ms = LONG_MS};
	struct sandbox *s;

	limit_above(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", "8G");
	parent = above;
	s = start((struct sandbox_limits){.memory = 128 << 20},
		  "dd if=/dev/zero of=/dev/null bs=60M count=1; echo had; read x < go; " HOG
		  "; sleep 120");
	parent = NULL;
	wait_for_word(s, "had");
	assert_int_equal(sandbox_set_limits(s, &less, NULL), 0);
	limit_above(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", "16777216");
	assert_int_equal(write(go, "\n", 1), 1);
	finish(s);
	limit_above(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", "8G");
}

static void memory_that_was_used_before_is_not_what_is_lacking(void **state)
{
	int64_t began, end = clock_boot_ms() + SOON_MS;
	const int64_t later = 1000LL * 60 * 60 * 24 * 365;
	struct oom_kill kill;

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	if (!place_of(CONTROLLER_MEMORY)->v2 && !log_may_be_read()) {
		print_message("SKIP %s: v1 doesn't tell, and the kernel's log may not be read\n",
			      __func__);
		skip();
	}
	do {
		began = clock_boot_ms();
		want_what_is_above();
	} while (!place_of(CONTROLLER_MEMORY)->v2 && !oom_log_find(job_groups, began, &kill) &&
		 clock_boot_ms() < end);
	assert_not_its_own_limit();
	assert_false(oom_log_find(job_groups, clock_boot_ms() + later, &kill));
}

static void tasks_that_a_group_above_lacks_are_not_the_jobs_fault(void **state)
{
	(void)state;
	NEEDS(TASKS_IN_GROUPS);
	limit_above(CONTROLLER_PIDS, "pids.max", "pids.max", "6");
	finish_below((struct sandbox_limits){.tasks = 500}, TEN_MORE);
	if (job.outcome.verdict != SANDBOX_FAILED) /* such a kernel tells the group above alone */
		assert_not_its_own_limit();
	assert_null(job.outcome.limit);
	limit_above(CONTROLLER_PIDS, "pids.max", "pids.max", "max");
}

/* --- its caller meanwhile ------------------------------------------------------------------- */

#define REST_CPU_MS 200 /* of processor time in a second: who spins uses five times as much */

static uint64_t own_cpu_ms(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* Until there is nothing to do. */
static void wait_for_rest(struct sandbox *s)
{
	struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};
	int64_t end = clock_boot_ms() + SOON_MS;

	while (poll(&wait, 1, 0) != 0) {
		if (clock_boot_ms() > end)
			fail_msg("there is always something to do");
		assert_int_equal(sandbox_step(s, NULL), 0);
	}
}

static void finish_at_rest(struct sandbox *s)
{
	uint64_t used = own_cpu_ms();

	wait_for_rest(s);
	finish(s);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_true(job.outcome.usage.wall_ms >= 1000);
	assert_in_range(own_cpu_ms() - used, 0, REST_CPU_MS);
}

static void a_caller_rests_while_memory_is_limited(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	finish_at_rest(start((struct sandbox_limits){.memory = MEMORY}, "sleep 1"));
}

/* What is given back lazily is taken back at the limit: the kernel tells of that many times. */
static void a_caller_rests_after_memory_was_short(void **state)
{
	struct sandbox *s;

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	s = start((struct sandbox_limits){.memory = MEMORY + (32 << 20)},
		  "python3 -c 'import mmap, time\n"
		  "kept = []\n"
		  "for i in range(20):\n"
		  "    m = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
		  "    for page in range(0, 16 << 20, 4096): m[page] = 1\n"
		  "    m.madvise(mmap.MADV_FREE)\n"
		  "    kept.append(m)\n"
		  "print(\"had\", flush=True)\n"
		  "time.sleep(1)'");
	wait_for_word(s, "had");
	finish_at_rest(s);
}

/* From its start on nothing more can be opened. */
static void finish_without_descriptors(struct sandbox *s)
{
	struct rlimit usual, none_free;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	none_free = usual;
	none_free.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_free), 0);
	assert_int_equal(dup(0), -1);
	step_to_the_end(s);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	finish(s);
}

static void processor_time_is_limited_without_a_free_descriptor(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU_TIME);
	finish_without_descriptors(start((struct sandbox_limits){.cpu_time_ms = 300}, BUSY));
	assert_killed_for("cpu_time");
}

static void memory_is_limited_without_a_free_descriptor(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	finish_without_descriptors(
		start((struct sandbox_limits){.memory = MEMORY}, HOG "; sleep 120"));
	assert_killed_for("memory");
}

static void tasks_are_limited_without_a_free_descriptor(void **state)
{
	(void)state;
	NEEDS(TASKS_IN_GROUPS);
	finish_without_descriptors(start((struct sandbox_limits){.tasks = 6}, TEN_MORE));
	assert_killed_for("tasks");
}

static void the_end_is_proven_without_a_free_descriptor(void **state)
{
	(void)state;
	finish_without_descriptors(start(none, "sleep 120 & exit 0"));
	assert_verdict(&job, SANDBOX_PASSED);
	assert_true(job.outcome.usage.wall_ms < SOON_MS);
	assert_false(job_groups_are_left());
}

/* --- frozen jobs ---------------------------------------------------------------------------- */

static struct sandbox *start_frozen(struct sandbox_limits limits, const char *script)
{
	struct sandbox *s = start(limits, script);

	assert_int_equal(sandbox_freeze(s, true, NULL), 0);
	return s;
}

/* Until it has used so much, in time. */
static void wait_for_use(struct sandbox *s, uint64_t ms)
{
	int64_t end = clock_boot_ms() + SOON_MS;

	while (cpu_ms(s) < ms) {
		if (clock_boot_ms() > end)
			fail_msg("it has used %d ms of %d", (int)cpu_ms(s), (int)ms);
		wait_ms(s, 20);
	}
}

/* Until it uses no more: the last process takes a moment to come to a stand. What it has used. */
static uint64_t wait_for_stand(struct sandbox *s)
{
	int64_t end = clock_boot_ms() + SOON_MS;
	uint64_t before, after = cpu_ms(s);

	do {
		if (clock_boot_ms() > end)
			fail_msg("it doesn't stand still, and has used %d ms", (int)after);
		before = after;
		wait_ms(s, 100);
		after = cpu_ms(s);
	} while (after != before);
	return after;
}

static void a_frozen_job_uses_no_processor(void **state)
{
	struct sandbox *s;
	uint64_t used;

	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE | SANDBOX_CAN_CPU_TIME);
	s = start((struct sandbox_limits){0}, "(" BUSY ") & " BUSY);
	wait_for_use(s, 50);
	assert_int_equal(sandbox_freeze(s, true, NULL), 0);
	used = wait_for_stand(s);
	wait_ms(s, 300);
	assert_int_equal(cpu_ms(s), used);
	assert_int_equal(sandbox_freeze(s, false, NULL), 0);
	wait_for_use(s, used + 50);
	sandbox_kill(s, "enough");
	finish(s);
	assert_verdict(&job, SANDBOX_CANCELLED);
}

static void a_frozen_job_ends_with_its_time(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE);
	finish(start_frozen((struct sandbox_limits){.wall_ms = 500}, "sleep 120 & sleep 120"));
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_true(job.outcome.usage.wall_ms < SOON_MS);
}

static void a_frozen_job_is_not_idle(void **state)
{
	struct sandbox *s;

	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE);
	s = start_frozen((struct sandbox_limits){.idle_ms = 1500}, "echo woke; sleep 120");
	wait_ms(s, 1700);
	assert_int_equal(sandbox_freeze(s, false, NULL), 0);
	finish(s);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_string_equal(job.outcome.limit, "idle");
	assert_says(&job, "woke");
	assert_true(job.outcome.usage.wall_ms > 3000); /* once it woke it was */
}

static void a_frozen_job_can_be_freed(void **state)
{
	struct sandbox *s;

	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE);
	s = start_frozen((struct sandbox_limits){0}, "sleep 120 & sleep 120");
	sandbox_free(s);
	assert_false(job_groups_are_left());
}

/* --- limits that change --------------------------------------------------------------------- */

static void memory_can_be_limited_while_it_runs(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	run_between(none, (struct sandbox_limits){.memory = MEMORY}, HOG "; sleep 120");
	assert_killed_for("memory");
}

static void memory_can_be_lowered_raised_and_lifted(void **state)
{
	const struct sandbox_limits little = {.memory = MEMORY}, much = {.memory = 256 << 20};

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	run_between(much, little, HOG "; sleep 120");
	assert_killed_for("memory");
	run_between(little, much, HOG);
	assert_verdict(&job, SANDBOX_PASSED);
	run_between(little, none, HOG);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void less_memory_than_is_used_ends_it_or_is_refused(void **state)
{
	struct error err = {0};
	struct sandbox *s;
	int rc;

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	s = start(
		(struct sandbox_limits){.memory = 256 << 20},
		"head -c 100000000 /dev/zero > /tmp/x; echo had; read x < go; echo more > /tmp/y");
	wait_for_word(s, "had");
	rc = sandbox_set_limits(s, &(struct sandbox_limits){.memory = MEMORY, .wall_ms = LONG_MS},
				&err);
	if (rc == 0) {
		finish(s);
		assert_killed_for("memory");
		return;
	}
	assert_int_equal(write(go, "\n", 1), 1);
	finish(s);
	assert_int_equal(rc, -EBUSY);
	assert_non_null(strstr(err.text, "below what the job uses now"));
	assert_verdict(&job, SANDBOX_PASSED);
}

static void tasks_can_be_limited_raised_and_lifted(void **state)
{
	const struct sandbox_limits few = {.tasks = 6}, many = {.tasks = 20};

	(void)state;
	NEEDS(TASKS_IN_GROUPS);
	run_between(none, few, TEN_MORE);
	assert_killed_for("tasks");
	run_between(few, many, TEN_MORE);
	assert_verdict(&job, SANDBOX_PASSED);
	run_between(few, none, TEN_MORE);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void processor_time_can_be_limited_while_it_runs(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU_TIME);
	run_between(none, (struct sandbox_limits){.cpu_time_ms = 300}, BUSY);
	assert_killed_for("cpu_time");
}

static void bandwidth_can_be_lowered(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU);
	run_between((struct sandbox_limits){.cpu_milli = 1500},
		    (struct sandbox_limits){.cpu_milli = 200, .wall_ms = 1000},
		    "(" BUSY ") & " BUSY);
	assert_held_below(45);
}

/* --- the end -------------------------------------------------------------------------------- */

static void a_fork_bomb_is_gone_with_its_job(void **state)
{
	(void)state;
	NEEDS(TASKS_IN_GROUPS);
	finish(start((struct sandbox_limits){.tasks = 50, .wall_ms = 500},
		     "perl -e 'fork while 1'"));
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_false(job_groups_are_left());
}

/* The running job's process of that name; 0: there is none. */
static pid_t find_process(const char *name)
{
	const struct places *places = places_get();
	char path[128], procs[1024] = "", comm[32], *at = procs, *end;
	long pid;

	(void)snprintf(path, sizeof(path), "cupel/%s/cgroup.procs", job_groups);
	for (size_t i = 0; i < places->count && !procs[0]; i++)
		if (places->place[i].dir >= 0)
			(void)cgroup_read_text(places->place[i].dir, path, procs, sizeof(procs));
	while ((pid = strtol(at, &end, 10)) > 0) {
		at = end;
		(void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
		if (cgroup_read_text(AT_FDCWD, path, comm, sizeof(comm)) > 0 &&
		    strcspn(comm, "\n") == strlen(name) && strncmp(comm, name, strlen(name)) == 0)
			return (pid_t)pid;
	}
	return 0;
}

/* Who is traced stays, dead, until his tracer has seen it: the job isn't gone before. */
static pid_t trace(const char *name)
{
	int64_t end = clock_boot_ms() + SOON_MS;
	pid_t pid;

	while ((pid = find_process(name)) == 0) {
		if (clock_boot_ms() > end)
			fail_msg("no process %s comes", name);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	return pid;
}

static void wait_for_death(pid_t pid)
{
	int64_t end = clock_boot_ms() + SOON_MS;
	siginfo_t info = {0};

	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
	       info.si_pid != pid) {
		if (clock_boot_ms() > end)
			fail_msg("process %d doesn't die", (int)pid);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(info.si_pid, pid);
}

/* Of the running job, soon; until it has passed. */
static void pass_wall_limit(struct sandbox *s)
{
	struct sandbox_limits limits = {0};
	struct sandbox_usage usage;

	sandbox_usage(s, &usage);
	limits.wall_ms = usage.wall_ms + 1;
	assert_int_equal(sandbox_set_limits(s, &limits, NULL), 0);
	while (usage.wall_ms <= limits.wall_ms) {
		wait_ms(s, 1);
		sandbox_usage(s, &usage);
	}
	assert_int_equal(sandbox_step(s, NULL), 0);
}

static void who_ended_in_time_is_not_timed_out_when_his_end_takes_long(void **state)
{
	struct sandbox *s;
	pid_t kept;

	(void)state;
	NEEDS_TRACING();
	s = start(none, "sleep 120 & read x < go");
	kept = trace("sleep");
	assert_int_equal(write(go, "\n", 1), 1);
	wait_for_death(kept); /* with the program */
	pass_wall_limit(s);
	assert_int_equal(waitpid(kept, NULL, __WALL), kept);
	finish(s);
	assert_verdict(&job, SANDBOX_PASSED);
}

/* It can't be waited for before its tracer has. */
static void a_program_that_is_traced_at_its_end_is_not_timed_out(void **state)
{
	struct pollfd told = {.events = POLLIN};
	struct sandbox *s;
	pid_t kept;

	(void)state;
	NEEDS_TRACING();
	s = start(none, "read x < go");
	kept = trace("sh");
	assert_int_equal(write(go, "\n", 1), 1);
	wait_for_death(kept);
	told.fd = s->job.control;
	assert_int_equal(poll(&told, 1, SOON_MS), 1);
	pass_wall_limit(s);
	assert_int_equal(waitpid(kept, NULL, __WALL), kept);
	finish(s);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void what_a_dead_caller_left_can_be_removed(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	(void)places_get(); /* the child's places are ours then */
	pid = fork();
	if (pid == 0) {
		const char *const argv[] = {"sleep", "120", NULL};
		struct sandbox_spec spec = {.argv = argv, .name = job_groups};
		struct sandbox *s;

		_exit(sandbox_start(&spec, &s, NULL) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(job_groups_are_left());
	assert_int_equal(sandbox_remove(NULL, job_groups, NULL), 0);
	assert_false(job_groups_are_left());
}

static bool asked(int argc, char **argv, const char *part)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], part) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_job_dies_of_one_process_memory),
		cmocka_unit_test(less_memory_than_the_limit_is_fine),
		cmocka_unit_test(files_count_as_memory),
		cmocka_unit_test(tasks_are_limited),
		cmocka_unit_test(processor_time_of_all_processes_is_limited),
		cmocka_unit_test(bandwidth_is_limited),
		cmocka_unit_test(all_limits_hold_together),
		cmocka_unit_test(a_file_of_the_kernels_is_no_name),
		cmocka_unit_test(memory_that_a_group_above_lacks_is_not_the_jobs_fault),
		cmocka_unit_test(memory_that_was_used_before_is_not_what_is_lacking),
		cmocka_unit_test(tasks_that_a_group_above_lacks_are_not_the_jobs_fault),
		cmocka_unit_test(a_caller_rests_while_memory_is_limited),
		cmocka_unit_test(a_caller_rests_after_memory_was_short),
		cmocka_unit_test(processor_time_is_limited_without_a_free_descriptor),
		cmocka_unit_test(memory_is_limited_without_a_free_descriptor),
		cmocka_unit_test(tasks_are_limited_without_a_free_descriptor),
		cmocka_unit_test(the_end_is_proven_without_a_free_descriptor),
		cmocka_unit_test(a_frozen_job_uses_no_processor),
		cmocka_unit_test(a_frozen_job_ends_with_its_time),
		cmocka_unit_test(a_frozen_job_is_not_idle),
		cmocka_unit_test(a_frozen_job_can_be_freed),
		cmocka_unit_test(memory_can_be_limited_while_it_runs),
		cmocka_unit_test(memory_can_be_lowered_raised_and_lifted),
		cmocka_unit_test(less_memory_than_is_used_ends_it_or_is_refused),
		cmocka_unit_test(tasks_can_be_limited_raised_and_lifted),
		cmocka_unit_test(processor_time_can_be_limited_while_it_runs),
		cmocka_unit_test(bandwidth_can_be_lowered),
		cmocka_unit_test(a_fork_bomb_is_gone_with_its_job),
		cmocka_unit_test(who_ended_in_time_is_not_timed_out_when_his_end_takes_long),
		cmocka_unit_test(a_program_that_is_traced_at_its_end_is_not_timed_out),
		cmocka_unit_test(what_a_dead_caller_left_can_be_removed),
	};
	const struct CMUnitTest refusals[] = {cmocka_unit_test(what_cannot_be_held_is_refused)};
	int failed = 0;

	job_groups_init("test-limits");
	if (make_worktree() < 0) {
		perror(worktree);
		return 1;
	}
	if (asked(argc, argv, "direct"))
		failed += cmocka_run_group_tests_name("by this process", tests, NULL, NULL);
	if (asked(argc, argv, "launcher")) {
		job_launcher = job_launcher_new(0);
		failed += cmocka_run_group_tests_name("by a launcher", tests, NULL, NULL);
		sandbox_launcher_free(job_launcher);
		job_launcher = NULL;
	}
	if (asked(argc, argv, "refusals"))
		failed += cmocka_run_group_tests_name("refusals", refusals, NULL, NULL);
	remove_worktree();
	remove_above();
	return failed;
}
