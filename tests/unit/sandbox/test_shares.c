/* not under valgrind: it lacks the mount and pidfd calls */
/* What a job may have of disks and processors, in whichever hierarchy holds it, and what is told
 * about its use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/cgroup_place.h"
#include "tests/unit/sandbox/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static struct job job;
static char disk[64]; /* a worktree on a disk; empty: none was found */
static char number[32];

#define NAME "cupel-test-shares"
#define SKIP_UNLESS(can, why)                                                                      \
	do {                                                                                       \
		if (!(can)) {                                                                      \
			print_message("SKIP %s: %s\n", __func__, why);                             \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

#define NEEDS_DISK()    SKIP_UNLESS(disk[0], "no directory here is on a disk of its own")
#define NEEDS_IO()      SKIP_UNLESS(sandbox_can() & SANDBOX_CAN_IO_READ, "no controller of io")
#define NEEDS_CPUSET()  SKIP_UNLESS(sandbox_can() & SANDBOX_CAN_CPUSET, "no cpuset controller")
#define NEEDS_WRITING() SKIP_UNLESS(sandbox_can() & SANDBOX_CAN_IO, "no control groups v2 with io")

/* "8:0", also for what is on the partition 8:1; false: there is no disk. */
static bool find_number(dev_t device)
{
	char path[80];
	owned_fd fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device),
		       minor(device));
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%sdev", major(device),
		       minor(device), access(path, F_OK) == 0 ? "../" : "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, number, sizeof(number) - 1);
	number[n > 0 ? n - 1 : 0] = '\0'; /* without its newline */
	return n > 0;
}

static int find_disk(void **state)
{
	static const char *const candidates[] = {"/mnt/disk", "/var/tmp", "/tmp"};
	struct stat st;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(disk, sizeof(disk), "%s/cupel-test-XXXXXX", candidates[i]);
		if (!mkdtemp(disk))
			continue;
		if (stat(disk, &st) == 0 && chown(disk, TEST_UID, TEST_UID) == 0 &&
		    find_number(st.st_dev))
			return 0;
		(void)rmdir(disk);
	}
	disk[0] = '\0';
	return 0;
}

static int leave_disk(void **state)
{
	char file[80];

	(void)state;
	(void)snprintf(file, sizeof(file), "%s/f", disk);
	(void)unlink(file);
	return disk[0] ? rmdir(disk) : 0;
}

/* 8 MiB that nobody has in memory any more. */
static void write_file(void)
{
	char file[80], bytes[4096] = "x";
	owned_fd fd = -1;

	(void)snprintf(file, sizeof(file), "%s/f", disk);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	for (int i = 0; i < 2048; i++)
		assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* What stands for a file that isn't there. */
#define NO_FILE "no such file"

/* The file of the running job's group in the hierarchy that has the controller. */
static const char *group_file(unsigned controller, const char *v2, const char *v1)
{
	static char text[4096];
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++) {
		const struct place *p = &places->place[i];
		char path[PATH_MAX + 128];
		owned_fd fd = -1;
		ssize_t n;

		if (p->dir < 0 || !(p->controllers & controller))
			continue;
		(void)snprintf(path, sizeof(path), "%s/cupel/" NAME "/%s", p->path,
			       p->v2 ? v2 : v1);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		text[n < 0 ? 0 : n] = '\0';
		return n < 0 ? NO_FILE : text;
	}
	return NO_FILE;
}

static const char *read_limit(void)
{
	return group_file(CONTROLLER_IO, "io.max", "blkio.throttle.read_bps_device");
}

static const char *processors(void)
{
	return group_file(CONTROLLER_CPUSET, "cpuset.cpus", "cpuset.cpus");
}

static struct sandbox *start(struct sandbox_limits limits, const char *worktree)
{
	static const char *const argv[] = {"sleep", "60", NULL};
	struct sandbox_spec spec = {
		.argv = argv, .name = NAME, .worktree = worktree, .limits = limits};
	struct sandbox *s = NULL;
	struct error err = {0};

	spec.limits.wall_ms = 60000;
	if (sandbox_start(&spec, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static void reading_is_limited_on_the_worktrees_disk(void **state)
{
	struct sandbox_limits limits = {.io_read = 8 << 20, .wall_ms = 60000};
	owned(sandbox) *s = NULL;
	char now[96];

	(void)state;
	NEEDS_DISK();
	NEEDS_IO();
	s = start(limits, disk);
	(void)snprintf(now, sizeof(now), strstr(read_limit(), "rbps") ? "%s rbps=%u" : "%s %u\n",
		       number, 8U << 20);
	assert_non_null(strstr(read_limit(), now));
	limits.io_read = 4 << 20;
	limits.io_read_ops = 50;
	assert_int_equal(sandbox_set_limits(s, &limits, NULL), 0);
	assert_null(strstr(read_limit(), now));
	assert_non_null(strstr(read_limit(), "4194304"));
	assert_int_equal(sandbox_set_limits(s, &(struct sandbox_limits){0}, NULL), 0);
	assert_string_equal(read_limit(), "");
}

static void what_is_read_is_slow_and_counted(void **state)
{
	struct sandbox_spec spec = {.worktree = disk, .limits = {.io_read = 16 << 20}};

	(void)state;
	NEEDS_DISK();
	NEEDS_IO();
	write_file();
	job_run(spec, "cat f | wc -c", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_true(job.outcome.usage.measured & SANDBOX_MEASURED_IO_READ);
	assert_true(job.outcome.usage.io_read_bytes >= 8 << 20);
	assert_true(job.outcome.usage.wall_ms >= 300); /* half a second's worth */
}

/* Who waits for a throttled disk can't die: a limit must not hold up the job's own end. */
static void a_job_that_waits_for_the_disk_ends_at_once(void **state)
{
	struct sandbox_spec spec = {.worktree = disk, .limits = {.io_read = 4096, .wall_ms = 2000}};

	(void)state;
	NEEDS_DISK();
	NEEDS_IO();
	write_file();
	job_run(spec, "dd if=f of=/dev/null bs=8M iflag=direct", &job); /* half an hour */
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_true(job.outcome.usage.wall_ms < 20000);
	spec.limits.wall_ms = 25000;
	job_run(spec, "dd if=f of=/dev/null bs=8M iflag=direct & sleep 0.2", &job);
	assert_verdict(&job, SANDBOX_PASSED);
}

/* The caller, in a process of his own, dies while his job waits. */
static void die_with_a_waiting_job(void)
{
	static const char *const argv[] = {
		"sh", "-c", "echo; exec dd if=f of=/dev/null bs=8M iflag=direct", NULL};
	struct sandbox_spec spec = {.argv = argv,
				    .name = NAME,
				    .worktree = disk,
				    .limits = {.io_read = 4096, .idle_ms = 30000}};
	struct sandbox_usage usage = {0};
	struct sandbox *s = NULL;

	if (sandbox_start(&spec, &s, NULL) < 0)
		_exit(1);
	while (usage.output_bytes == 0) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, 1000);
		(void)sandbox_step(s, NULL);
		sandbox_usage(s, &usage);
	}
	(void)poll(NULL, 0, 200); /* its read may begin; whenever it does, the claim is the same */
	_exit(0);
}

static void what_a_dead_caller_left_waiting_is_removed(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	NEEDS_DISK();
	NEEDS_IO();
	write_file();
	pid = fork();
	if (pid == 0)
		die_with_a_waiting_job();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(sandbox_remove(NULL, NAME, NULL), 0);
	assert_string_equal(read_limit(), NO_FILE);
}

static void writing_is_limited_or_refused(void **state)
{
	struct sandbox_spec spec = {.worktree = disk, .limits = {.io_write = 8 << 20}};
	bool can = sandbox_can() & SANDBOX_CAN_IO;

	(void)state;
	NEEDS_DISK();
	job_run(spec, "echo ran", &job);
	if (can) {
		assert_verdict(&job, SANDBOX_PASSED);
	} else {
		assert_verdict(&job, SANDBOX_ERRORED);
		assert_non_null(strstr(job.outcome.reason, "io"));
		assert_non_null(strstr(job.outcome.reason, "can't be held"));
	}
}

static void writing_can_be_limited_while_it_runs(void **state)
{
	struct sandbox_limits limits = {.io_read = 8 << 20, .wall_ms = 60000};
	owned(sandbox) *s = NULL;

	(void)state;
	NEEDS_DISK();
	NEEDS_WRITING();
	s = start(limits, disk);
	limits.io_write = 1 << 20;
	assert_int_equal(sandbox_set_limits(s, &limits, NULL), 0);
	assert_non_null(strstr(read_limit(), "wbps=1048576"));
}

static void io_needs_a_disk(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX";
	struct sandbox_spec spec = {.limits = {.io_read = 8 << 20}};

	(void)state;
	job_run(spec, "echo ran", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(mkdtemp(path));
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	spec.worktree = path;
	job_run(spec, "echo ran", &job);
	assert_int_equal(rmdir(path), 0);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "on a disk"));
	assert_int_equal(job.length, 0);
}

static void a_weight_needs_a_disk_that_is_weighed(void **state)
{
	struct sandbox_spec spec = {.worktree = disk, .limits = {.io_weight = 200}};

	(void)state;
	NEEDS_DISK();
	NEEDS_IO();
	job_run(spec, "echo ran", &job);
	if (job.outcome.verdict != SANDBOX_PASSED)
		assert_non_null(strstr(job.outcome.reason, "queue/scheduler"));
	assert_int_equal(job.length, job.outcome.verdict == SANDBOX_PASSED ? 4 : 0);
}

static void the_processors_are_those_and_no_others(void **state)
{
	struct sandbox_spec spec = {.limits = {.cpuset = "0"}};

	(void)state;
	NEEDS_CPUSET();
	job_run(spec,
		"nproc; python3 -c 'import os; os.sched_setaffinity(0, range(64));"
		"print(os.sched_getaffinity(0))'",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "1\n{0}\n");
}

static void processors_that_are_not_there_are_refused(void **state)
{
	struct sandbox_spec spec = {.limits = {.cpuset = "0,8191"}};

	(void)state;
	NEEDS_CPUSET();
	job_run(spec, "echo ran", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "0,8191"));
	assert_int_equal(job.length, 0);
}

static void processors_change_while_it_runs(void **state)
{
	struct sandbox_limits limits = {.cpuset = "0"};
	cpu_set_t all;
	owned(sandbox) *s = NULL;

	(void)state;
	NEEDS_CPUSET();
	SKIP_UNLESS(sched_getaffinity(0, sizeof(all), &all) == 0 && CPU_ISSET(0, &all) &&
			    CPU_ISSET(1, &all),
		    "it takes two processors");
	s = start(limits, NULL);
	assert_string_equal(processors(), "0\n");
	assert_int_equal(sandbox_set_limits(s, &(struct sandbox_limits){.cpuset = "1"}, NULL), 0);
	assert_string_equal(processors(), "1\n");
	assert_int_equal(
		sandbox_set_limits(s, &(struct sandbox_limits){.cpuset = "0-1,8000"}, NULL),
		-EOPNOTSUPP);
	assert_int_equal(sandbox_set_limits(s, &(struct sandbox_limits){0}, NULL), 0);
	assert_string_not_equal(processors(), "1\n");
}

static void groups_are_made_for_what_was_asked(void **state)
{
	struct error err = {0};
	owned(sandbox) *s = NULL;

	(void)state;
	NEEDS_CPUSET();
	s = start((struct sandbox_limits){0}, NULL);
	assert_string_equal(group_file(CONTROLLER_CPUSET, "no", "cpuset.cpus"), NO_FILE);
	assert_int_equal(sandbox_set_limits(s, &(struct sandbox_limits){.cpuset = "0"}, &err),
			 -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "start it with such a limit"));
	assert_int_equal(sandbox_set_limits(s, &(struct sandbox_limits){.io_read = 1 << 20}, &err),
			 -EOPNOTSUPP);
}

/* Of the running job. */
static void note_limits(char *out, size_t size)
{
	(void)snprintf(out, size, "%s",
		       group_file(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes"));
	(void)snprintf(out + strlen(out), size - strlen(out), "%s",
		       group_file(CONTROLLER_PIDS, "pids.max", "pids.max"));
}

static void limits_that_are_refused_leave_those_before(void **state)
{
	struct sandbox_limits limits = {.memory = 256 << 20, .wall_ms = 60000};
	owned(sandbox) *s = NULL;
	char before[128], after[128];

	(void)state;
	SKIP_UNLESS((sandbox_can() & SANDBOX_CAN_MEMORY) && (sandbox_can() & SANDBOX_CAN_TASKS),
		    "no controllers of memory and tasks");
	s = start(limits, NULL);
	note_limits(before, sizeof(before));
	assert_string_equal(before, "268435456\nmax\n");
	limits.memory = 128 << 20;
	limits.tasks = 20;
	limits.cpu_time_ms = 60000;
	(void)strcpy(limits.cpuset, "0"); /* it has no group for that */
	assert_int_equal(sandbox_set_limits(s, &limits, NULL), -EOPNOTSUPP);
	note_limits(after, sizeof(after));
	assert_string_equal(after, before);
}

static void a_user_is_refused_what_he_cannot_hold(void **state)
{
	(void)state;
	job_run_as_user((struct sandbox_spec){.limits = {.cpuset = "0"}}, "echo ran", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "cpuset"));
	assert_int_equal(job.length, 0);
}

static void only_what_was_measured_is_told(void **state)
{
	const struct sandbox_usage *u = &job.outcome.usage;

	(void)state;
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_true(u->measured & SANDBOX_MEASURED_CPU);
	assert_false(u->measured & SANDBOX_MEASURED_DISK);
	if (sandbox_can() & SANDBOX_CAN_MEMORY)
		assert_true(u->measured & SANDBOX_MEASURED_MEMORY);
	job_run((struct sandbox_spec){.limits = {.disk = 1 << 20}}, "true", &job);
	assert_true(u->measured & SANDBOX_MEASURED_DISK);
	job_run_as_user((struct sandbox_spec){0}, "true", &job);
	assert_int_equal(u->measured, SANDBOX_MEASURED_CPU);
	assert_int_equal(u->memory_peak, 0);
}

static void who_waits_for_a_processor_is_told(void **state)
{
	const struct sandbox_usage *u = &job.outcome.usage;

	(void)state;
	NEEDS_CPUSET();
	job_run((struct sandbox_spec){.limits = {.wall_ms = 2000, .cpuset = "0"}},
		"(while :; do :; done) & (while :; do :; done) & while :; do :; done", &job);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	SKIP_UNLESS(u->measured & SANDBOX_MEASURED_PRESSURE, "the kernel tells of no pressure");
	assert_true(u->pressure_cpu_ms >= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_is_limited_on_the_worktrees_disk),
		cmocka_unit_test(what_is_read_is_slow_and_counted),
		cmocka_unit_test(a_job_that_waits_for_the_disk_ends_at_once),
		cmocka_unit_test(what_a_dead_caller_left_waiting_is_removed),
		cmocka_unit_test(writing_is_limited_or_refused),
		cmocka_unit_test(writing_can_be_limited_while_it_runs),
		cmocka_unit_test(io_needs_a_disk),
		cmocka_unit_test(a_weight_needs_a_disk_that_is_weighed),
		cmocka_unit_test(the_processors_are_those_and_no_others),
		cmocka_unit_test(processors_that_are_not_there_are_refused),
		cmocka_unit_test(processors_change_while_it_runs),
		cmocka_unit_test(groups_are_made_for_what_was_asked),
		cmocka_unit_test(limits_that_are_refused_leave_those_before),
		cmocka_unit_test(a_user_is_refused_what_he_cannot_hold),
		cmocka_unit_test(only_what_was_measured_is_told),
		cmocka_unit_test(who_waits_for_a_processor_is_told),
	};

	if (geteuid() != 0) {
		print_message("SKIP test_shares: needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, find_disk, leave_disk);
}
