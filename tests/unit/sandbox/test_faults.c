/* not under valgrind: it lacks the mount and pidfd calls */
/* Every step of the set-up made to fail, and its process made to die there: a clear outcome, and
 * nothing left. Many launches leave nothing either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sandbox/birth.h"
#include "sandbox/init.h"
#include "tests/unit/sandbox/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#define LAUNCHES   500 /* LAUNCHES in the environment wins: 10000 were run by hand */
#define DEADLINE_S 20

static unsigned lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned count = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		count += c == '\n';
	(void)fclose(f);
	return count;
}

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	(void)closedir(dir);
	return count;
}

/* What a launch could leave behind. */
struct traces {
	unsigned descriptors, mounts;
};

static struct traces look(void)
{
	return (struct traces){entries("/proc/self/fd"), lines("/proc/self/mountinfo")};
}

/* Beside its own it has one network for the next job, or two. */
#define LAUNCHERS_DESCRIPTORS 16

/* It tidies up when it has time. */
static void the_launcher_has_nothing_left(const char *after)
{
	int64_t until = clock_boot_ms() + DEADLINE_S * 1000;
	unsigned descriptors;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd",
		       job_launcher ? (int)sandbox_launcher_pid(job_launcher) : 0);
	while (job_launcher && (descriptors = entries(path)) > LAUNCHERS_DESCRIPTORS) {
		if (clock_boot_ms() > until)
			fail_msg("%s: the launcher has %u descriptors", after, descriptors);
		(void)poll(NULL, 0, 1);
	}
}

static void nothing_is_left(struct traces before, const char *after)
{
	struct traces now = look();

	if (now.descriptors != before.descriptors)
		fail_msg("%s: %u descriptors, there were %u", after, now.descriptors,
			 before.descriptors);
	if (now.mounts != before.mounts)
		fail_msg("%s: %u mounts, there were %u", after, now.mounts, before.mounts);
	if (waitpid(-1, NULL, WNOHANG | __WALL) > (job_launcher ? 0 : -1))
		fail_msg("%s: a child is left", after);
	if (job_groups_are_left())
		fail_msg("%s: a control group is left", after);
	the_launcher_has_nothing_left(after);
}

static struct job job;

static const struct sandbox_spec usual = {.name = job_groups};
static const struct sandbox_bind bind = {.from = "/usr/share", .to = "/share"};
/* With a bind each job builds its root itself, instead of taking the template. */
static const struct sandbox_spec unusual = {.name = job_groups, .binds = &bind, .bind_count = 1};

/* A user's launcher doesn't see what was mounted after it was made. */
static enum birth birth_with_a_bind(void)
{
	return job_launcher && geteuid() == 0 ? BIRTH_PLAIN : BIRTH_PLANNED;
}

static void fail_at(enum step step, int kind, struct sandbox_spec spec, struct traces before)
{
	init_fault = (struct fault){step, kind};
	job_run(spec, "true", &job);
	init_fault = (struct fault){0};
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_int_not_equal(job.outcome.reason[0], '\0');
	if (kind == FAULT_FAIL && step != STEP_IDMAP && step != STEP_EXEC && step != STEP_WORKDIR &&
	    !strstr(job.outcome.reason, step_name(step)))
		fail_msg("step %s isn't named: %s", step_name(step), job.outcome.reason);
	nothing_is_left(before, step_name(step));
}

/* Every step of a child of that birth. */
static void fail_each(int kind, struct sandbox_spec spec, enum birth birth)
{
	struct traces before;

	job_run(spec, "true", &job); /* what a process keeps is there then */
	job_run(usual, "true", &job);
	before = look();
	if (kind == FAULT_FAIL)
		fail_at(STEP_IDMAP, kind, spec, before);
	for (int step = STEP_GO; step < STEP_COUNT; step++)
		if (init_does((enum step)step, birth))
			fail_at((enum step)step, kind, spec, before);
	job_run(spec, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void each_step_that_fails_is_named_and_leaves_nothing(void **state)
{
	(void)state;
	fail_each(FAULT_FAIL, unusual, birth_with_a_bind());
	if (job_launcher)
		fail_each(FAULT_FAIL, usual, BIRTH_READY);
}

static void a_process_that_dies_at_any_step_leaves_nothing(void **state)
{
	(void)state;
	fail_each(FAULT_DIE, unusual, birth_with_a_bind());
	if (job_launcher)
		fail_each(FAULT_DIE, usual, BIRTH_READY);
}

static void a_refused_spec_leaves_nothing(void **state)
{
	struct traces before;

	(void)state;
	job_run(usual, "true", &job);
	before = look();
	job_run((struct sandbox_spec){.name = job_groups, .worktree = "/nonexistent"}, "true",
		&job);
	nothing_is_left(before, "a missing worktree");
	job_run((struct sandbox_spec){.name = job_groups, .root = "/nonexistent"}, "true", &job);
	nothing_is_left(before, "a missing root");
	job_run((struct sandbox_spec){.name = job_groups, .limits = {.files = 1 << 29}}, "true",
		&job);
	assert_verdict(&job, SANDBOX_ERRORED);
	nothing_is_left(before, "an impossible number of files");
	job_run((struct sandbox_spec){.name = job_groups, .limits = {.memory = 1 << 20}}, "true",
		&job);
	nothing_is_left(before, "hardly any memory"); /* enough for `true`, or not */
}

static void many_launches_leave_nothing(void **state)
{
	const char *wanted = getenv("LAUNCHES");
	struct traces before;

	(void)state;
	job_run(usual, "true", &job);
	before = look();
	for (int i = wanted ? atoi(wanted) : LAUNCHES; i > 0; i--) {
		job_run(usual, "exit 0", &job);
		assert_verdict(&job, SANDBOX_PASSED);
	}
	nothing_is_left(before, "many launches");
}

static void closed_standard_descriptors_do_not_mix_up_the_job(void **state)
{
	int keep[3];

	(void)state;
	(void)fflush(NULL);
	for (int i = 0; i < 3; i++) {
		keep[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
		(void)close(i);
	}
	job_run(usual, "cat; echo out; echo err >&2; ls /proc/self/fd | wc -l", &job);
	for (int i = 0; i < 3; i++) {
		(void)dup2(keep[i], i);
		(void)close(keep[i]);
	}
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "out\n");
	assert_says(&job, "err\n");
}

static void a_name_that_is_taken_is_refused(void **state)
{
	static const char *const argv[] = {"sleep", "60", NULL};
	struct sandbox_spec spec = {.launcher = job_launcher, .argv = argv, .name = job_groups};
	struct error err = {0};
	struct sandbox *first = NULL, *second = NULL;

	(void)state;
	if (!(sandbox_can() & SANDBOX_CAN_MEMORY)) {
		print_message("SKIP %s: no usable control groups here\n", __func__);
		skip();
	}
	assert_int_equal(sandbox_start(&spec, &first, NULL), 0);
	assert_int_equal(sandbox_start(&spec, &second, &err), -EEXIST);
	assert_null(second);
	assert_int_equal(sandbox_remove(NULL, job_groups, &err),
			 0); /* as after its caller's death */
	while (sandbox_step(first, NULL) != 1)
		;
	sandbox_free(first);
	assert_false(job_groups_are_left());
}

/* Its process may share errno with another one. */
static void a_step_that_failed_is_never_taken_for_done(void **state)
{
	struct plan plan = {.root = -1};

	(void)state;
	errno = EPERM;
	assert_int_equal(plan_fail(&plan, "this"), -EPERM);
	assert_string_equal(plan.failure.detail, "this");
	errno = 0;
	assert_int_equal(plan_fail(&plan, "that"), -EIO);
}

static void a_birth_that_fails_gives_no_descriptor(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), pidfd = -1;
	bool inside;
	pid_t pid;

	(void)state;
	pid = birth(GUISE_NONE, false, null, &pidfd, &inside); /* no control group */
	if (pid == 0)
		_exit(0);
	(void)close(null);
	assert_int_equal(pid, -1);
	assert_int_equal(pidfd, -1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_step_that_fails_is_named_and_leaves_nothing),
	cmocka_unit_test(a_process_that_dies_at_any_step_leaves_nothing),
	cmocka_unit_test(a_refused_spec_leaves_nothing),
	cmocka_unit_test(many_launches_leave_nothing),
	cmocka_unit_test(closed_standard_descriptors_do_not_mix_up_the_job),
	cmocka_unit_test(a_name_that_is_taken_is_refused),
	cmocka_unit_test(a_step_that_failed_is_never_taken_for_done),
	cmocka_unit_test(a_birth_that_fails_gives_no_descriptor),
};

static int run_all(const char *directly, const char *by_launcher)
{
	int failed = cmocka_run_group_tests_name(directly, tests, NULL, NULL);

	job_launcher = job_launcher_new(0);
	failed += cmocka_run_group_tests_name(by_launcher, tests, NULL, NULL);
	sandbox_launcher_free(job_launcher);
	job_launcher = NULL;
	return failed;
}

static int run_all_as_user(void)
{
	int status = -1;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		job_become_user();
		exit(run_all("by a user", "by a user's launcher"));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void)
{
	int failed;

	if (geteuid() != 0) {
		print_message("SKIP test_faults: needs root\n");
		return 0;
	}
	job_groups_init("test-faults");
	/* Other people's mounts are not counted. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	failed = run_all_as_user(); /* first: what root has found out isn't true for him */
	return failed + run_all("by this process", "by a launcher");
}
