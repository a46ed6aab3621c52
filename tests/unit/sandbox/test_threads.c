/* not under valgrind: it lacks the mount and pidfd calls */
/* Several threads with sandboxes of their own, and forks of such a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sandbox/turn.h"
#include "tests/unit/sandbox/jobs.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define THREADS    4
#define JOBS       150
#define FORKS      20
#define DEADLINE_S 60

static char trees[2][32] = {"/dev/shm/cupel-owner-XXXXXX", "/dev/shm/cupel-owner-XXXXXX"};
static const uid_t owners[2] = {TEST_UID, TEST_UID + 1};

static int make_trees(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		if (!mkdtemp(trees[i]) || chown(trees[i], owners[i], owners[i]) < 0)
			return -1;
	return 0;
}

static int remove_trees(void **state)
{
	(void)state;
	return rmdir(trees[0]) < 0 || rmdir(trees[1]) < 0 ? -1 : 0;
}

/* It sees the tree as its own, and what it makes there belongs to the tree's owner. */
static bool runs_as_owner(int owner, const char *file)
{
	struct job job;
	char script[128], path[64];
	struct stat st = {0};

	(void)snprintf(script, sizeof(script),
		       "echo > %s; stat -c %%u .; exec cat /proc/self/cgroup", file);
	(void)snprintf(path, sizeof(path), "%s/%s", trees[owner], file);
	job_run((struct sandbox_spec){.worktree = trees[owner]}, script, &job);
	if (job.outcome.verdict == SANDBOX_PASSED && strncmp(job.output, "1000\n", 5) == 0 &&
	    stat(path, &st) == 0 && st.st_uid == owners[owner] && unlink(path) == 0)
		return true;
	(void)fprintf(stderr, "%s: %s; %s; of %u\n", file, job.outcome.reason, job.output,
		      st.st_uid);
	(void)unlink(path);
	return false;
}

/* NULL: each job was right. */
static void *run_jobs(void *number)
{
	char file[32];

	for (int i = 0; i < JOBS; i++) {
		(void)snprintf(file, sizeof(file), "%d-%d", *(int *)number, i);
		if (!runs_as_owner((*(int *)number + i) % 2, file))
			return number;
	}
	return NULL;
}

static void start_threads(pthread_t *threads)
{
	static int numbers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, run_jobs, &numbers[i]), 0);
	}
}

static void join_threads(pthread_t *threads)
{
	void *result, *problem = NULL;

	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		problem = problem ? problem : result;
	}
	assert_null(problem);
}

static void each_thread_has_its_own_jobs(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	start_threads(threads);
	join_threads(threads);
}

static void a_fork_of_a_process_with_threads_has_jobs(void **state)
{
	pthread_t threads[THREADS];
	int failed = 0, status;

	(void)state;
	start_threads(threads);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		char file[32];

		if (pid == 0) {
			(void)alarm(DEADLINE_S);
			(void)snprintf(file, sizeof(file), "fork-%d", i);
			_exit(runs_as_owner(i % 2, file) ? 0 : 1);
		}
		failed += waitpid(pid, &status, 0) != pid || status;
	}
	join_threads(threads);
	assert_int_equal(failed, 0);
}

static atomic_bool taken, over;

static void *hold_the_turn(void *unused)
{
	turn_take();
	taken = true;
	for (int64_t end = clock_boot_ms() + DEADLINE_S * 1000; !over && clock_boot_ms() < end;)
		(void)poll(NULL, 0, 1);
	turn_end();
	return unused;
}

/* It may be another thread's for long, and then none can be made ready. */
static void limits_hold_while_another_thread_starts_jobs(void **state)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	struct sandbox_spec spec = {.argv = argv, .limits = {.wall_ms = 300}};
	int64_t began = clock_boot_ms();
	struct sandbox_outcome outcome;
	struct sandbox *s = NULL;
	pthread_t thread;

	(void)state;
	job_launcher = job_launcher_new(2);
	spec.launcher = job_launcher;
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_the_turn, NULL), 0);
	while (!taken)
		(void)poll(NULL, 0, 1);
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, -1);
	}
	over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	sandbox_outcome(s, &outcome);
	assert_int_equal(outcome.verdict, SANDBOX_TIMED_OUT);
	assert_true(clock_boot_ms() - began < DEADLINE_S * 1000);
	sandbox_free(s);
	sandbox_launcher_free(job_launcher);
	job_launcher = NULL;
}

static atomic_bool looked, enough;

/* NULL: files are made as the process's mask says. */
static void *look_at_modes(void *problem)
{
	const char *path = "/dev/shm/cupel-test-mode";
	struct stat st = {.st_mode = 0644};

	while (!enough && (st.st_mode & 0777) == 0644) {
		int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);

		if (fd < 0 || fstat(fd, &st) < 0 || unlink(path) < 0)
			return problem;
		(void)close(fd);
		looked = true;
	}
	return enough ? NULL : problem;
}

static int starts_while_files_are_made(void)
{
	static char problem[] = "other modes";
	struct job job;
	pthread_t thread;
	void *result = problem;

	(void)umask(022);
	if (pthread_create(&thread, NULL, look_at_modes, problem) != 0)
		return 1;
	while (!looked)
		;
	job_run((struct sandbox_spec){0}, "true", &job);
	enough = true;
	if (pthread_join(thread, &result) != 0 || job.outcome.verdict != SANDBOX_PASSED)
		return 2;
	return result ? 3 : 0;
}

/* The first job of a process makes what the others share. */
static void a_start_leaves_the_mask_of_modes_alone(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(starts_while_files_are_made());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_hold_while_another_thread_starts_jobs),
		cmocka_unit_test(a_start_leaves_the_mask_of_modes_alone),
		cmocka_unit_test(each_thread_has_its_own_jobs),
		cmocka_unit_test(a_fork_of_a_process_with_threads_has_jobs),
	};

	if (geteuid() != 0) {
		print_message("SKIP test_threads: needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, make_trees, remove_trees);
}
