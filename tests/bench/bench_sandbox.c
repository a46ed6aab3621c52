/* bench_sandbox [launch-in-process|launch|launch-pooled-networks|launch-pooled...] - what a launch
 * costs, against bubblewrap in the same run, turn by turn, and against minijail where it is
 * installed.
 *
 * Sandbox launches carry limits, filter and outcome; bubblewrap's have its namespaces and nothing
 * else. The program is a static one of one system call, in a worktree. Medians of wall time, from
 * before the launch until the outcome is there; the cold ones after 60 ms of idleness. A launcher
 * makes ahead, and tidies up behind, what it can: the time of that isn't in these, and the rates of
 * sustained launches beside them tell what it costs. */
#include "base/clock.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MS        60
#define REFILL_MS      8 /* what is made ahead is there again */
#define WORKERS        4
#define BURST          8   /* launches of each worker, as many as are ready */
#define FILL_MS        150 /* so many are ready */
#define BURSTS         15
#define CALLER_SIZE    ((size_t)256 << 20)
#define HOST_MOUNTS    500
#define SIZE_TOUCHED   ((size_t)8 << 20)
#define ROUNDS_TOUCHED 25
#define ID_BASE        0x70000000u

static char worktree[] = "/dev/shm/cupel-bench-XXXXXX";
static char empty_root[] = "/dev/shm/cupel-bench-XXXXXX"; /* minijail wants one */
static struct sandbox_launcher *launcher;

static void die(const char *what)
{
	(void)fprintf(stderr, "bench_sandbox: %s\n", what);
	exit(1);
}

/* --- what is launched ---------------------------------------------------------------------------
 */

static void copy_tiny(void)
{
	char from[PATH_MAX] = "", to[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", from, sizeof(from) - 8);
	char *slash = n > 0 ? strrchr(from, '/') : NULL;
	int in, out;

	if (!slash || !mkdtemp(worktree))
		die("no place for the worktree");
	(void)strcpy(slash + 1, "tiny");
	(void)snprintf(to, sizeof(to), "%s/tiny", worktree);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (in < 0 || out < 0 || sendfile(out, in, NULL, 1 << 20) <= 0)
		die("tiny isn't beside this program");
	(void)close(in);
	(void)close(out);
	(void)chmod(worktree, 0755);
	if (geteuid() == 0 && chown(worktree, ID_BASE + SANDBOX_UID, ID_BASE + SANDBOX_UID) < 0)
		die("the worktree can't be given away");
}

static const char *const places[] = {"usr", "proc", "dev", "tmp", "build"};

static void make_empty_root(void)
{
	char path[PATH_MAX];

	if (!mkdtemp(empty_root))
		die("no place for a root");
	(void)chmod(empty_root, 0755);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", empty_root, places[i]);
		(void)mkdir(path, 0755);
	}
}

static void remove_empty_root(void)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", empty_root, places[i]);
		(void)rmdir(path);
	}
	(void)rmdir(empty_root);
}

static void remove_tiny(void)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/tiny", worktree);
	(void)unlink(path);
	(void)rmdir(worktree);
}

/* What a burst leaves to be freed behind it. */
static struct sandbox *kept[BURST];
static size_t kept_count;
static bool keep;

/* Until it is over and its outcome there; what a caller can do when he likes isn't in it. */
static int64_t launch_and_free(const struct sandbox_spec *spec)
{
	int64_t start = clock_boot_us(), end;
	struct sandbox_outcome outcome;
	struct sandbox *s = NULL;
	struct error err = {0};

	if (sandbox_start(spec, &s, &err) < 0)
		die(err.text);
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, -1);
	}
	sandbox_outcome(s, &outcome);
	end = clock_boot_us();
	if (outcome.verdict != SANDBOX_PASSED)
		die(outcome.reason);
	if (keep)
		kept[kept_count++] = s;
	else
		sandbox_free(s);
	return end - start;
}

/* By `launcher`, where there is one. */
static int64_t launch_own(void)
{
	static const char *const argv[] = {"./tiny", NULL};
	struct sandbox_spec spec = {.argv = argv,
				    .worktree = worktree,
				    .launcher = launcher,
				    .profile = SANDBOX_CI,
				    .limits = {.wall_ms = 60000}};

	if (geteuid() == 0) {
		spec.id_base = ID_BASE;
		spec.id_count = 65536;
		spec.limits.memory = (uint64_t)512 << 20;
		spec.limits.tasks = 512;
	}
	return launch_and_free(&spec);
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
	static const char *const argv[] = {"bwrap",
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
					   "--bind",
					   worktree,
					   "/build",
					   "--chdir",
					   "/build",
					   "--cap-drop",
					   "ALL",
					   "--",
					   "/build/tiny",
					   NULL};

	return spawn(argv);
}

/* With the walls that it has for a user namespace; no devices, and one id. */
static int64_t launch_minijail(void)
{
	char bind[PATH_MAX];
	const char *const argv[] = {"minijail0", "-T",
				    "static",    "-n",
				    "-U",        "-m",
				    "-M",        "-v",
				    "-l",        "-p",
				    "-e",        "-N",
				    "--uts",     "-t",
				    "-P",        empty_root,
				    "-b",        "/usr,/usr,1",
				    "-b",        bind,
				    "-k",        "proc,/proc,proc,0xe",
				    "--",        "/build/tiny",
				    NULL};

	(void)snprintf(bind, sizeof(bind), "%s,/build,1", worktree);
	return spawn(argv);
}

static int64_t launch_exec(void)
{
	char path[PATH_MAX];
	const char *const argv[] = {path, NULL};

	(void)snprintf(path, sizeof(path), "%s/tiny", worktree);
	return spawn(argv);
}

static void start_launcher(unsigned networks, unsigned ready)
{
	const struct sandbox_launcher_options options = {
		.program = getenv("CUPEL_SANDBOX"), .networks = networks, .ready = ready};
	struct error err = {0};

	sandbox_launcher_free(launcher);
	launcher = NULL;
	if (sandbox_launcher_new(&options, &launcher, &err) < 0)
		die(err.text);
}

/* --- figures
 * -------------------------------------------------------------------------------------- */

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

static void idle(int ms)
{
	const struct timespec time = {.tv_nsec = (long)ms * 1000000};

	(void)nanosleep(&time, NULL);
}

static int64_t timed(int64_t (*launch)(void), int idle_ms)
{
	if (idle_ms)
		idle(idle_ms);
	return launch();
}

struct rival {
	const char *name;
	int64_t (*launch)(void);
};

static const struct rival bwrap = {"bwrap", launch_bwrap};
static const struct rival minijail = {"minijail", launch_minijail}; /* not packaged by Debian */

static void print(const char *name, double value, const char *unit, const struct rival *rival,
		  double other)
{
	if (other > 0)
		(void)printf("bench %s %.2f %s (against %s %.2f: ratio %.2f)\n", name, value, unit,
			     rival->name, other, value / other);
	else
		(void)printf("bench %s %.2f %s (against %s: not here)\n", name, value, unit,
			     rival->name);
	(void)fflush(stdout);
}

/* Medians in ms, of both in turn: what else the box does meets them alike. */
static void compare_medians(int64_t (*launch)(void), const struct rival *rival, const char *name,
			    int count, int idle_ms)
{
	int64_t *own = calloc((size_t)count, sizeof(*own));
	int64_t *other = calloc((size_t)count, sizeof(*other));
	bool can = true;

	for (int i = 0; i < 5; i++) {
		(void)launch();
		can = can && rival->launch() >= 0;
	}
	for (int i = 0; own && other && i < count; i++) {
		own[i] = timed(launch, idle_ms);
		other[i] = can ? timed(rival->launch, idle_ms) : 0;
	}
	print(name, middle(own, count), "ms", rival, can ? middle(other, count) : -1);
	free(own);
	free(other);
}

struct way {
	const char *name;
	bool launcher;
	unsigned networks, ready;
	bool burst; /* no more launches than were made ahead; else that is what is sustained */
};

static void use(const struct way *way)
{
	if (way->launcher)
		start_launcher(way->networks, way->ready);
}

static void work(int64_t (*launch)(void), const struct way *way, int count, int ready, int go)
{
	char byte = 'r';

	use(way);
	(void)launch();
	keep = way->burst && launch == launch_own;
	if (way->burst)
		idle(FILL_MS);
	(void)write(ready, &byte, 1);
	(void)read(go, &byte, 1); /* until it is closed */
	while (count-- > 0)
		if (launch() < 0)
			_exit(1);
	(void)write(ready, &byte, 1); /* done; the rest is tidying up */
	while (kept_count > 0)
		sandbox_free(kept[--kept_count]);
	sandbox_launcher_free(launcher);
	_exit(0);
}

/* Launches a second by several processes at once, each with a launcher of its own. */
static double rate(int64_t (*launch)(void), const struct way *way, int workers, int count)
{
	int ready[2], go[2], failed = 0;
	int64_t start;
	char byte;

	if (pipe(ready) < 0 || pipe(go) < 0)
		die("no pipes");
	for (int i = 0; i < workers; i++)
		if (fork() == 0) {
			(void)close(go[1]);
			work(launch, way, count, ready[1], go[0]);
		}
	for (int i = 0; i < workers; i++)
		(void)read(ready[0], &byte, 1);
	start = clock_boot_us();
	(void)close(go[1]);
	(void)close(ready[1]);
	for (int i = 0; i < workers; i++) /* or the end of one who failed */
		(void)read(ready[0], &byte, 1);
	start = clock_boot_us() - start;
	for (int status; wait(&status) > 0;)
		failed += status != 0;
	(void)close(go[0]);
	(void)close(ready[0]);
	return failed ? -1 : (double)(workers * count) * 1e6 / (double)start;
}

static void print_rates(const struct way *way)
{
	static const struct way plain = {.name = "bwrap"};
	char name[64];

	for (int workers = 1; workers <= WORKERS; workers += WORKERS - 1) {
		(void)snprintf(name, sizeof(name), "%s-%d-at-once-sustained", way->name, workers);
		print(name, rate(launch_own, way, workers, 300), "/s", &bwrap,
		      rate(launch_bwrap, &plain, workers, 60));
	}
}

/* The median of some; -1: one failed. */
static double burst_rate(int64_t (*launch)(void), const struct way *way)
{
	int64_t thousandths[BURSTS];

	for (int i = 0; i < BURSTS; i++) {
		double one = rate(launch, way, WORKERS, BURST);

		if (one < 0)
			return -1;
		thousandths[i] = (int64_t)(one * 1000);
	}
	return middle(thousandths, BURSTS);
}

/* What a pool can do for as long as it lasts; see what is sustained beside it. */
static void print_burst(void)
{
	static const struct way pooled = {NULL, true, BURST, BURST, true};
	static const struct way plain = {.burst = true};

	print("launch-pooled-4-at-once-burst", burst_rate(launch_own, &pooled), "/s", &bwrap,
	      burst_rate(launch_bwrap, &plain));
}

static void measure(const struct way *way)
{
	char name[64];
	int pause = way->ready || way->networks ? REFILL_MS : 0;

	use(way);
	(void)snprintf(name, sizeof(name), "%s-hot", way->name);
	compare_medians(launch_own, &bwrap, name, 200, pause);
	(void)snprintf(name, sizeof(name), "%s-cold", way->name);
	compare_medians(launch_own, &bwrap, name, 50, IDLE_MS);
	sandbox_launcher_free(launcher);
	launcher = NULL;
	print_rates(way);
}

static const struct way ways[] = {
	{"launch-in-process", false, 0, 0},
	{"launch", true, 0, 0}, /* one network is always kept */
	{"launch-pooled-networks", true, 8, 0},
	{"launch-pooled", true, 4, 4},
};

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
	use(&ways[1]);
	compare_medians(launch_own, &bwrap, "launch-500-mounts", 60, 0);
	(void)umount2(path, MNT_DETACH);
	(void)rmdir(path);
}

static void with_memory(void)
{
	char *memory = malloc(CALLER_SIZE);

	if (!memory)
		return;
	memset(memory, 1, CALLER_SIZE);
	use(&ways[1]);
	compare_medians(launch_own, &bwrap, "launch-256m-caller", 60, 0);
	free(memory);
}

/* What the host itself takes after idleness, whoever is launched: the memory of a virtual machine
 * may have to be found again by what is below it. */
static void touch_again(void)
{
	static int64_t times[2][ROUNDS_TOUCHED];
	char *memory = mmap(NULL, SIZE_TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	const struct rival hot = {.name = "hot"};

	if (memory == MAP_FAILED || madvise(memory, SIZE_TOUCHED, MADV_NOHUGEPAGE) < 0)
		return;
	memset(memory, 1, SIZE_TOUCHED);
	for (int i = 0; i < 2 * ROUNDS_TOUCHED; i++) {
		int64_t start;

		if (i % 2)
			idle(IDLE_MS);
		start = clock_boot_us();
		for (size_t at = 0; at < SIZE_TOUCHED; at += 4096)
			memory[at]++;
		times[i % 2][i / 2] = clock_boot_us() - start;
	}
	print("touch-8-mb-again-cold", middle(times[1], ROUNDS_TOUCHED), "ms", &hot,
	      middle(times[0], ROUNDS_TOUCHED));
	(void)munmap(memory, SIZE_TOUCHED);
}

static void beside_minijail(void)
{
	make_empty_root();
	use(&ways[1]);
	compare_medians(launch_own, &minijail, "launch-hot-beside-minijail", 200, 0);
	compare_medians(launch_own, &minijail, "launch-cold-beside-minijail", 50, IDLE_MS);
	remove_empty_root();
}

/* The ways that are named, or all. */
static bool is_chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(name, argv[i]) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	copy_tiny();
	(void)atexit(remove_tiny);
	sandbox_prepare();
	touch_again();
	compare_medians(launch_exec, &bwrap, "exec-hot", 200, 0);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (is_chosen(ways[i].name, argc, argv))
			measure(&ways[i]);
	if (argc > 1)
		return 0;
	print_burst();
	with_memory();
	with_mounts();
	beside_minijail();
	sandbox_launcher_free(launcher);
	return 0;
}
