/* bench_sandbox - what a launch costs, against bubblewrap in the same run.
 *
 * Sandbox launches carry limits, filter and outcome; bubblewrap's have its namespaces and nothing
 * else. Medians of wall time; the cold ones after 60 ms of idleness. */
#include "base/clock.h"
#include "sandbox/sandbox.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MS     60
#define CALLER_SIZE ((size_t)256 << 20)
#define HOST_MOUNTS 500

static const char *program = "/bin/true";

/* `network`: one made ahead, or -1. */
static int64_t launch_own(bool limits, int network)
{
	const char *const argv[] = {program, NULL};
	struct sandbox_spec spec = {
		.argv = argv, .profile = SANDBOX_CI, .limits = {.wall_ms = 60000}};
	struct sandbox_outcome outcome;
	int64_t start = clock_boot_us();

	spec.network_open = network >= 0;
	spec.network_fd = network;
	if (limits && geteuid() == 0) {
		spec.limits.memory = (uint64_t)512 << 20;
		spec.limits.tasks = 512;
	}
	if (sandbox_run(&spec, &outcome, NULL) < 0 || outcome.verdict != SANDBOX_PASSED) {
		(void)fprintf(stderr, "bench_sandbox: %s\n", outcome.reason);
		exit(1);
	}
	return clock_boot_us() - start;
}

static int64_t spawn(const char *const *argv)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
	int64_t start = clock_boot_us();
	pid_t pid;
	int status;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, env) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return clock_boot_us() - start;
}

static int64_t launch_bwrap(void)
{
	const char *const argv[] = {"bwrap",
				    "--unshare-all",
				    "--die-with-parent",
				    "--new-session",
				    "--ro-bind",
				    "/usr",
				    "/usr",
				    "--symlink",
				    "usr/bin",
				    "/bin",
				    "--symlink",
				    "usr/lib",
				    "/lib",
				    "--symlink",
				    "usr/lib64",
				    "/lib64",
				    "--proc",
				    "/proc",
				    "--dev",
				    "/dev",
				    "--tmpfs",
				    "/tmp",
				    "--cap-drop",
				    "ALL",
				    "--",
				    program,
				    NULL};

	return spawn(argv);
}

static int64_t launch_with_limits(void)
{
	return launch_own(true, -1);
}

/* The network is made before the clock starts; a rate over such launches has it in. */
static int64_t launch_pooled(void)
{
	int network = sandbox_network_new(NULL);
	int64_t us = launch_own(true, network);

	if (network >= 0)
		(void)close(network);
	return us;
}

static int64_t launch_exec(void)
{
	const char *const argv[] = {program, NULL};

	return spawn(argv);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double middle(int64_t *times, int count)
{
	qsort(times, (size_t)count, sizeof(*times), compare);
	return (double)times[count / 2] / 1000;
}

static int64_t timed(int64_t (*launch)(void), int idle_ms)
{
	struct timespec idle = {.tv_nsec = (long)idle_ms * 1000000};

	if (idle_ms)
		(void)nanosleep(&idle, NULL);
	return launch();
}

/* Medians in ms, of both in turn: what else the box does meets them alike. Negative when `b` can't
 * run. */
static void medians(int64_t (*a)(void), int64_t (*b)(void), int count, int idle_ms, double out[2])
{
	int64_t *times_a = calloc((size_t)count, sizeof(*times_a));
	int64_t *times_b = calloc((size_t)count, sizeof(*times_b));
	bool can = true;

	for (int i = 0; i < 5; i++) {
		(void)a();
		can = can && b() >= 0;
	}
	for (int i = 0; i < count; i++) {
		times_a[i] = timed(a, idle_ms);
		times_b[i] = can ? timed(b, idle_ms) : 0;
	}
	out[0] = middle(times_a, count);
	out[1] = can ? middle(times_b, count) : -1;
	free(times_a);
	free(times_b);
}

static void print(const char *name, double value, const char *unit, double bwrap)
{
	if (bwrap > 0)
		(void)printf("bench %s %.2f %s (against bwrap %.2f: ratio %.2f)\n", name, value,
			     unit, bwrap, value / bwrap);
	else
		(void)printf("bench %s %.2f %s (against bwrap: not here)\n", name, value, unit);
	(void)fflush(stdout);
}

static void compare_medians_of(int64_t (*launch)(void), const char *name, int count, int idle_ms)
{
	double both[2];

	medians(launch, launch_bwrap, count, idle_ms, both);
	print(name, both[0], "ms", both[1]);
}

static void compare_medians(const char *name, int count, int idle_ms)
{
	compare_medians_of(launch_with_limits, name, count, idle_ms);
}

/* Launches a second by `workers` processes at once. */
static double rate(int64_t (*launch)(void), int workers, int count)
{
	int64_t start = clock_boot_us();

	for (int i = 0; i < workers; i++)
		if (fork() == 0) {
			for (int k = 0; k < count; k++)
				if (launch() < 0)
					_exit(1);
			_exit(0);
		}
	for (int status; wait(&status) > 0;)
		if (status)
			return -1;
	return (double)(workers * count) * 1e6 / (double)(clock_boot_us() - start);
}

static void with_mounts(void)
{
	char path[] = "/tmp/cupel-bench-XXXXXX", point[64];

	if (!mkdtemp(path) || mount("bench", path, "tmpfs", 0, NULL) < 0) {
		(void)puts("bench launch-500-mounts skipped: needs root");
		return;
	}
	for (int i = 0; i < HOST_MOUNTS; i++) {
		(void)snprintf(point, sizeof(point), "%s/%d", path, i);
		(void)mkdir(point, 0755);
		(void)mount(path, point, NULL, MS_BIND, NULL);
	}
	compare_medians("launch-500-mounts", 60, 0);
	(void)umount2(path, MNT_DETACH);
	(void)rmdir(path);
}

static void with_memory(void)
{
	char *memory = malloc(CALLER_SIZE);

	if (!memory)
		return;
	memset(memory, 1, CALLER_SIZE);
	compare_medians("launch-256m-caller", 40, 0);
	free(memory);
}

int main(int argc, char **argv)
{
	double bwrap;

	if (argc > 1)
		program = argv[1];
	sandbox_prepare();
	compare_medians_of(launch_exec, "exec-hot", 200, 0);
	compare_medians("launch-hot", 200, 0);
	compare_medians("launch-cold", 50, IDLE_MS);
	bwrap = rate(launch_bwrap, 4, 100);
	print("launches-4-at-once", rate(launch_with_limits, 4, 100), "/s", bwrap);
	if (geteuid() == 0) {
		compare_medians_of(launch_pooled, "launch-pooled-hot", 200, 0);
		compare_medians_of(launch_pooled, "launch-pooled-cold", 50, IDLE_MS);
		print("launches-4-at-once-pooled", rate(launch_pooled, 4, 100), "/s", bwrap);
	}
	with_memory();
	with_mounts();
	return 0;
}
