/* not under valgrind: it lacks the mount and pidfd calls */
/* The launcher: whoever is killed, at whatever step, nothing goes on and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/init.h"
#include "sandbox/launch.h"
#include "sandbox/packet.h"
#include "tests/unit/sandbox/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PROCESSES  16
#define DEADLINE_S 20

static struct job job;
static const struct sandbox_bind share = {.from = "/usr/share", .to = "/share"};
/* With a bind a job builds its root itself, instead of taking the ready one. */
static const struct sandbox_spec specs[] = {
	[BIRTH_PLANNED] = {.name = job_groups, .binds = &share, .bind_count = 1},
	[BIRTH_PLAIN] = {.name = job_groups, .binds = &share, .bind_count = 1},
	[BIRTH_READY] = {.name = job_groups},
};

/* The condition comes true, or the test fails. */
#define wait_until(condition, what)                                                                \
	do {                                                                                       \
		int64_t until_ = clock_boot_ms() + DEADLINE_S * 1000;                              \
		while (!(condition)) {                                                             \
			if (clock_boot_ms() > until_)                                              \
				fail_msg("%s", what);                                              \
			(void)poll(NULL, 0, 1);                                                    \
		}                                                                                  \
	} while (0)

static size_t children_of(pid_t parent, pid_t *out)
{
	char path[64];
	size_t count = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "r");
	while (f && count < PROCESSES && fscanf(f, "%d", &out[count]) == 1)
		count++;
	if (f)
		(void)fclose(f);
	return count;
}

/* As in /proc/PID/stat; X: it is not there. */
static char state_of(pid_t pid)
{
	char path[64], state = 'X';
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return 'X';
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X'; /* it went while we looked */
	(void)fclose(f);
	return state;
}

/* Whether whoever inherited it has reaped it is his affair. */
static bool is_gone(pid_t pid)
{
	char state = state_of(pid);

	return state == 'Z' || state == 'X';
}

static size_t live_children(pid_t parent)
{
	pid_t children[PROCESSES];
	size_t live = 0;

	for (size_t count = children_of(parent, children); count > 0; count--)
		live += !is_gone(children[count - 1]);
	return live;
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	(void)closedir(dir);
	return count;
}

static bool made_up_group_is_left(void)
{
	return system("find /sys/fs/cgroup -name \"job-*-$PPID-*\" 2>/dev/null | grep -q .") == 0;
}

static void start_launcher(unsigned ready)
{
	job_launcher = job_launcher_new(ready);
	assert_non_null(job_launcher);
}

static void end_launcher(void)
{
	sandbox_launcher_free(job_launcher);
	job_launcher = NULL;
}

static void what_is_no_launcher_is_refused(void **state)
{
	struct sandbox_launcher_options options = {.program = "/nonexistent/cupel-sandbox"};
	struct sandbox_launcher *l = NULL;
	struct error err = {0};
	unsigned before;

	(void)state;
	(void)sandbox_can(); /* keeps the hierarchies open */
	before = descriptors();
	assert_int_equal(sandbox_launcher_new(&options, &l, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/cupel-sandbox"));
	options.program = "/bin/true";
	assert_int_equal(sandbox_launcher_new(&options, &l, &err), -ECHILD);
	assert_non_null(strstr(err.text, "install program and library together"));
	options.networks = 65;
	assert_int_equal(sandbox_launcher_new(&options, &l, &err), -EINVAL);
	options = (struct sandbox_launcher_options){.ready = 17};
	assert_int_equal(sandbox_launcher_new(&options, &l, &err), -EINVAL);
	assert_non_null(strstr(err.text, "up to 64 networks and 16 sandboxes"));
	assert_null(l);
	assert_int_equal(descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void a_launcher_serves_no_fork_of_its_caller(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	start_launcher(0);
	pid = fork();
	if (pid == 0) {
		job_run((struct sandbox_spec){0}, "true", &job);
		_exit(strstr(job.outcome.reason, "not its forks") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	end_launcher();
}

/* Two at once: the kernel gives the number of one that is gone to the next. */
static void every_job_has_a_network_of_its_own(void **state)
{
	static const char *const argv[] = {"sh", "-c", "readlink /proc/self/ns/net; sleep 1000",
					   NULL};
	struct job first = {.length = 0};
	struct sandbox_spec spec = {.argv = argv, .output = job_output, .context = &first};
	struct sandbox *s = NULL;

	(void)state;
	start_launcher(2);
	spec.launcher = job_launcher;
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	while (!strchr(first.output, '\n')) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		assert_int_equal(poll(&wait, 1, DEADLINE_S * 1000), 1);
		assert_int_equal(sandbox_step(s, NULL), 0);
	}
	for (int i = 0; i < 10; i++) {
		job_run((struct sandbox_spec){0}, "readlink /proc/self/ns/net", &job);
		assert_says(&job, "net:[");
		assert_string_not_equal(job.output, first.output);
	}
	sandbox_free(s);
	end_launcher();
}

/* The job that ended may be one of its children still. */
static bool three_live(pid_t parent, pid_t *children)
{
	size_t count = children_of(parent, children);
	bool live = count == 3;

	for (size_t i = 0; i < count; i++)
		live = live && !is_gone(children[i]);
	return live;
}

static void ready_ones_wait_and_go_with_their_launcher(void **state)
{
	pid_t children[PROCESSES];
	unsigned before = descriptors();

	(void)state;
	start_launcher(3);
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	wait_until(three_live(sandbox_launcher_pid(job_launcher), children),
		   "there are not three of them");
	for (int i = 0; i < 3; i++) /* D is load */
		wait_until(state_of(children[i]) == 'S', "one doesn't sleep");
	end_launcher();
	for (int i = 0; i < 3; i++)
		wait_until(is_gone(children[i]), "one lives on");
	assert_int_equal(descriptors(), before);
	assert_false(made_up_group_is_left());
}

static struct sandbox *start_sleeper(void)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	const struct sandbox_spec spec = {.argv = argv, .launcher = job_launcher};
	struct sandbox *s = NULL;

	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	return s;
}

/* Who takes the last one doesn't wait for others to be made; and whoever waits for jobs that run
 * for long is woken to make them. */
static void what_was_used_is_made_again_while_jobs_run(void **state)
{
	int64_t until = clock_boot_ms() + DEADLINE_S * 1000;
	struct sandbox *jobs[2];
	pid_t launcher;
	int woken = 0;

	(void)state;
	start_launcher(2);
	launcher = sandbox_launcher_pid(job_launcher);
	job_run((struct sandbox_spec){0}, "true", &job);
	wait_until(live_children(launcher) == 2, "there are not two of them");
	for (int i = 0; i < 2; i++)
		jobs[i] = start_sleeper();
	assert_int_equal(live_children(launcher), 2);
	while (live_children(launcher) < 4) {
		struct pollfd wait = {.fd = sandbox_fd(jobs[0]), .events = POLLIN};

		assert_true(clock_boot_ms() < until);
		woken += poll(&wait, 1, 10);
		assert_int_equal(sandbox_step(jobs[0], NULL), 0);
	}
	assert_true(woken >= 2);
	for (int i = 0; i < 2; i++)
		sandbox_free(jobs[i]);
	wait_until(live_children(launcher) == 2, "those that wait are not two");
	end_launcher();
}

/* What is over and not freed yet isn't a job that runs. */
static void what_is_over_and_kept_keeps_none_from_being_ready(void **state)
{
	static const char *const argv[] = {"true", NULL};
	struct sandbox_spec spec = {.argv = argv};
	struct sandbox *kept = NULL;

	(void)state;
	start_launcher(2);
	spec.launcher = job_launcher;
	assert_int_equal(sandbox_start(&spec, &kept, NULL), 0);
	while (sandbox_step(kept, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(kept), .events = POLLIN};

		(void)poll(&wait, 1, -1);
	}
	job_run((struct sandbox_spec){0}, "true", &job);
	wait_until(live_children(sandbox_launcher_pid(job_launcher)) == 2,
		   "there are not two of them");
	sandbox_free(kept);
	end_launcher();
}

#define LAUNCHES 60

/* That the kernel holds. */
static long inodes(void)
{
	FILE *f = fopen("/proc/sys/fs/inode-nr", "r");
	long count = -1;

	if (f && fscanf(f, "%ld", &count) != 1)
		count = -1;
	if (f)
		(void)fclose(f);
	return count;
}

static bool leaves_inodes(void)
{
	long before;

	job_run((struct sandbox_spec){0}, "true", &job);
	before = inodes();
	for (int i = 0; i < LAUNCHES; i++)
		job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	return inodes() - before >= 3L * LAUNCHES;
}

/* A file of a group that is removed while somebody has it open stays in the kernel's caches until
 * memory is short: ten thousand jobs left ninety thousand, in which the next ones' were looked for.
 * Others on the box may open files, too. */
static void no_files_of_groups_stay_behind(void **state)
{
	(void)state;
	for (int ready = -1; ready <= 2; ready++) {
		int tries = 0;

		if (ready >= 0)
			start_launcher((unsigned)ready);
		while (leaves_inodes() && ++tries < 10)
			;
		assert_true(tries < 10);
		end_launcher();
	}
}

/* Its disks are its own: nothing can be made ahead for another such job. */
static void a_job_with_limits_of_io_leaves_what_waits(void **state)
{
	pid_t before[PROCESSES], after[PROCESSES];

	(void)state;
	start_launcher(3);
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	wait_until(three_live(sandbox_launcher_pid(job_launcher), before),
		   "there are not three of them");
	job_run((struct sandbox_spec){.limits = {.io_read = 1 << 20}}, "true", &job);
	wait_until(three_live(sandbox_launcher_pid(job_launcher), after),
		   "there are not three of them");
	assert_memory_equal(before, after, 3 * sizeof(*before));
	end_launcher();
}

static void what_waits_is_not_used_where_it_does_not_fit(void **state)
{
	(void)state;
	start_launcher(1);
	job_run((struct sandbox_spec){.profile = SANDBOX_CI}, "true", &job);
	job_run((struct sandbox_spec){.profile = SANDBOX_NESTED}, "unshare -Ur id -u", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	job_run((struct sandbox_spec){.hostname = "other"}, "hostname; cat /etc/hostname", &job);
	assert_string_equal(job.output, "other\nother");
	job_run((struct sandbox_spec){.binds = &share, .bind_count = 1}, "ls /share | wc -l", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	job_run((struct sandbox_spec){.limits = {.memory = 1 << 20}}, "true", &job);
	job_run((struct sandbox_spec){.limits = {.disk = 1 << 20}},
		"head -c 2000000 /dev/zero > /tmp/x", &job);
	assert_verdict(&job, SANDBOX_KILLED);
	job_run((struct sandbox_spec){.id_base = 300000, .id_count = 65536},
		"cat /proc/self/uid_map", &job);
	assert_says(&job, "300000");
	end_launcher();
}

/* Limits are set while the first process is born. */
static void a_job_whose_limits_are_refused_leaves_nothing(void **state)
{
	pid_t children[PROCESSES];

	(void)state;
	start_launcher(0);
	job_run((struct sandbox_spec){.limits = {.cpuset = "4000"}}, "true", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	wait_until(children_of(sandbox_launcher_pid(job_launcher), children) == 0,
		   "its first process lives on");
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	end_launcher();
	assert_false(made_up_group_is_left());
}

static void a_command_may_be_longer_than_a_packet(void **state)
{
	static char script[100000];
	const char *const argv[] = {"sh", "-c", "echo $#", "sh", script, script, script, NULL};

	(void)state;
	memset(script, 'x', sizeof(script) - 1);
	for (unsigned ready = 0; ready < 3; ready += 2) {
		start_launcher(ready);
		for (int i = 0; i < 2; i++) {
			struct sandbox_spec spec = {.argv = argv,
						    .launcher = job_launcher,
						    .output = job_output,
						    .context = &job};

			memset(&job, 0, sizeof(job));
			(void)sandbox_run(&spec, &job.outcome, NULL);
			assert_says(&job, "3\n");
		}
		end_launcher();
	}
}

/* What waits was given other limits in vain. */
static void limits_that_were_refused_are_refused_again(void **state)
{
	const struct sandbox_limits held = {.memory = 512 << 20, .cpuset = "0"};
	const struct sandbox_limits not_held = {.memory = 64 << 20, .cpuset = "4000"};
	const struct sandbox_limits other = {.cpuset = "0"};
	static const char big[] = "head -c 100M /dev/zero | tail -c 90M | wc -c";

	(void)state;
	if (!(sandbox_can() & SANDBOX_CAN_CPUSET)) {
		print_message("SKIP %s: no cpuset here\n", __func__);
		skip();
	}
	start_launcher(2);
	for (int i = 0; i < 3; i++) {
		job_run((struct sandbox_spec){.limits = held}, "true", &job);
		assert_verdict(&job, SANDBOX_PASSED);
		for (int again = 0; again < 4; again++) {
			job_run((struct sandbox_spec){.limits = not_held}, "true", &job);
			assert_verdict(&job, SANDBOX_ERRORED);
		}
		/* and the half of them that could be set is nobody's */
		job_run((struct sandbox_spec){.limits = other}, big, &job);
		assert_verdict(&job, SANDBOX_PASSED);
	}
	end_launcher();
	assert_false(made_up_group_is_left());
}

/* In each hierarchy, by their path; false: one is left. */
static bool remove_groups(const char *path)
{
	char command[512];

	(void)snprintf(command, sizeof(command),
		       "find /sys/fs/cgroup -depth -type d -path '*/%s' -exec rmdir {} + "
		       "2>/dev/null; ! find /sys/fs/cgroup -type d -path '*/%s' | grep -q .",
		       path, path);
	return system(command) == 0;
}

static void groups_kept_for_the_next_job_may_be_removed_by_their_owner(void **state)
{
	char parent[96], inside[100];
	struct sandbox_spec spec = {.cgroup_parent = parent, .limits = {.tasks = 100}};

	(void)state;
	(void)snprintf(parent, sizeof(parent), "%s-one", job_groups);
	(void)snprintf(inside, sizeof(inside), "%s/*", parent);
	start_launcher(0);
	for (int i = 0; i < 3; i++) {
		job_run(spec, "true", &job);
		assert_verdict(&job, SANDBOX_PASSED);
		wait_until(remove_groups(inside), "the job's groups are in use");
		assert_true(remove_groups(parent));
	}
	job_run(spec, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	spec.cgroup_parent = NULL;
	job_run(spec, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_true(remove_groups(parent)); /* none is kept where no job comes any more */
	end_launcher();
}

static void two_kinds_in_turn_leave_no_groups(void **state)
{
	(void)state;
	start_launcher(3);
	for (int i = 0; i < 20; i++) {
		job_run((struct sandbox_spec){.profile = i % 2 ? SANDBOX_NESTED : SANDBOX_CI},
			"true", &job);
		assert_verdict(&job, SANDBOX_PASSED);
	}
	end_launcher();
	assert_false(made_up_group_is_left());
}

static void a_dead_one_is_not_handed_out(void **state)
{
	pid_t children[PROCESSES];

	(void)state;
	start_launcher(3);
	job_run((struct sandbox_spec){0}, "true", &job);
	wait_until(three_live(sandbox_launcher_pid(job_launcher), children),
		   "there are not three of them");
	for (int i = 0; i < 3; i++)
		assert_int_equal(kill(children[i], SIGKILL), 0);
	for (int i = 0; i < 3; i++)
		wait_until(is_gone(children[i]), "it lives");
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	end_launcher();
}

static void a_fork_that_frees_it_does_no_harm(void **state)
{
	pid_t children[PROCESSES], pid;
	int status;

	(void)state;
	start_launcher(3);
	job_run((struct sandbox_spec){0}, "true", &job);
	wait_until(three_live(sandbox_launcher_pid(job_launcher), children),
		   "there are not three of them");
	pid = fork();
	if (pid == 0) {
		sandbox_launcher_free(job_launcher);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 3; i++)
		assert_false(is_gone(children[i]));
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	end_launcher();
}

/* In a process of its own, which returns 0. */
/* In a fork nobody else tells why not. */
static bool has_passed(void)
{
	if (job.outcome.verdict != SANDBOX_PASSED)
		(void)fprintf(stderr, "%s\n", job.outcome.reason);
	return job.outcome.verdict == SANDBOX_PASSED;
}

static void assert_in_fork(int (*check)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(check());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int passes_by_launcher(void)
{
	job_launcher = job_launcher_new(0);
	if (!job_launcher)
		return 1;
	(void)kill(0, SIGINT);
	job_run((struct sandbox_spec){0}, "true", &job);
	sandbox_launcher_free(job_launcher);
	return job.outcome.verdict == SANDBOX_PASSED ? 0 : 2;
}

/* Groups that hold nothing are kept for the next job, too. */
static int a_user_changes_what_no_group_holds(void)
{
	job_become_user();
	job_launcher = job_launcher_new(0);
	for (unsigned tasks = 100; tasks < 104; tasks++) {
		job_run((struct sandbox_spec){.limits = {.tasks = tasks}}, "true", &job);
		if (!has_passed())
			return 2;
	}
	sandbox_launcher_free(job_launcher);
	return 0;
}

static void the_next_job_of_a_user_may_have_other_tasks(void **state)
{
	(void)state;
	assert_in_fork(a_user_changes_what_no_group_holds);
}

#define LATE_MOUNT "/dev/shm/cupel-test-late"

/* Writes a byte, and waits for one. */
static bool trade(int out, int in)
{
	char byte = 'x';

	return write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1;
}

static bool passes_in(const char *worktree)
{
	job_run((struct sandbox_spec){.worktree = worktree}, "echo here > it; cat it", &job);
	if (job.outcome.verdict != SANDBOX_PASSED)
		(void)fprintf(stderr, "%s: %s\n", worktree, job.outcome.reason);
	return job.outcome.verdict == SANDBOX_PASSED;
}

/* The mount's own root, whose place is another directory to the launcher, and one that isn't there.
 */
static int passes_in_a_later_mount(int out, int in)
{
	job_become_user();
	job_launcher = job_launcher_new(2);
	if (!trade(out, in) || mkdir(LATE_MOUNT "/below", 0755) < 0 || !passes_in(LATE_MOUNT) ||
	    !passes_in(LATE_MOUNT "/below") || !passes_in(NULL))
		return 1;
	sandbox_launcher_free(job_launcher);
	return 0;
}

/* In mounts of its own, which nobody else sees. */
static int mounts_when_the_launcher_is_there(void)
{
	int there[2], mounted[2], status = 1;
	char options[64], byte;
	pid_t pid;

	(void)snprintf(options, sizeof(options), "uid=%d,mode=755", TEST_UID);
	if (pipe(there) < 0 || pipe(mounted) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		(void)close(there[0]);
		(void)close(mounted[1]);
		_exit(passes_in_a_later_mount(there[1], mounted[0]));
	}
	(void)close(there[1]);
	if (read(there[0], &byte, 1) != 1 || mount("late", LATE_MOUNT, "tmpfs", 0, options) < 0 ||
	    write(mounted[1], "x", 1) != 1)
		return 2;
	(void)waitpid(pid, &status, 0);
	return status ? 3 : 0;
}

static void a_user_s_worktree_may_be_mounted_after_his_launcher_was_made(void **state)
{
	(void)state;
	(void)rmdir(LATE_MOUNT); /* of a run that was killed */
	assert_int_equal(mkdir(LATE_MOUNT, 0755), 0);
	assert_in_fork(mounts_when_the_launcher_is_there);
	assert_int_equal(rmdir(LATE_MOUNT), 0);
}

static int passes_with_an_interrupt(void)
{
	if (setpgid(0, 0) < 0 || signal(SIGINT, SIG_IGN) == SIG_ERR)
		return 3;
	return passes_by_launcher();
}

static void an_interrupt_is_for_the_caller(void **state)
{
	(void)state;
	assert_in_fork(passes_with_an_interrupt);
}

static int passes_with_few_descriptors(void)
{
	const struct rlimit few = {256, 256};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || !(job_launcher = job_launcher_new(16)))
		return 1;
	for (int i = 0; i < 3; i++) {
		job_run((struct sandbox_spec){.limits = {.memory = 64 << 20}}, "true", &job);
		if (!has_passed())
			return 2;
	}
	sandbox_launcher_free(job_launcher);
	return 0;
}

/* As many as there would be room for without those that wait. */
static int starts_many_with_few_descriptors(void)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	const struct rlimit few = {256, 256};
	struct sandbox_spec spec = {.argv = argv};
	struct sandbox *jobs[8];
	struct error err = {0};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || !(job_launcher = job_launcher_new(16)))
		return 1;
	spec.launcher = job_launcher;
	if (sandbox_can() & SANDBOX_CAN_MEMORY)
		spec.limits = (struct sandbox_limits){.memory = 64 << 20, .tasks = 20};
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			if (sandbox_start(&spec, &jobs[i], &err) < 0) {
				(void)fprintf(stderr, "%d, job %d: %s\n", round, i, err.text);
				return 2;
			}
		for (int i = 0; i < 8; i++)
			sandbox_free(jobs[i]);
	}
	sandbox_launcher_free(job_launcher);
	return 0;
}

static void what_waits_leaves_descriptors_to_its_caller(void **state)
{
	(void)state;
	assert_in_fork(passes_with_few_descriptors);
	assert_in_fork(starts_many_with_few_descriptors);
}

/* Whose ends may be put off, and whom nobody can use, are many, as profiles change. */
static int passes_with_few_descriptors_in_a_row(void)
{
	static const enum sandbox_profile profiles[] = {SANDBOX_CI, SANDBOX_STRICT, SANDBOX_NESTED};
	const struct rlimit few = {80, 80};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || !(job_launcher = job_launcher_new(2)))
		return 1;
	for (int i = 0; i < 120; i++) {
		job_run((struct sandbox_spec){.profile = profiles[i < 40 ? 0 : i % 3]}, "true",
			&job);
		if (!has_passed())
			return 2;
	}
	sandbox_launcher_free(job_launcher);
	return 0;
}

static void what_is_put_off_leaves_descriptors_to_the_launcher(void **state)
{
	(void)state;
	assert_in_fork(passes_with_few_descriptors_in_a_row);
}

/* Descriptors on their way to nobody, more than this user may have. */
static bool fill_sockets(unsigned may)
{
	const struct rlimit few = {may, may};
	int both[2], many[PACKET_FDS_MAX] = {0};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) < 0)
		return false;
	for (unsigned sent = 0; sent <= may; sent += PACKET_FDS_MAX)
		if (packet_send(both[0], "x", 1, many, PACKET_FDS_MAX) < 0)
			return false;
	return true;
}

static bool is_refused_with_full_sockets(void)
{
	static const char want[] = "ulimit -n";

	job_run((struct sandbox_spec){0}, "echo ran; exec sleep 1000", &job);
	if (job.outcome.verdict == SANDBOX_ERRORED && strstr(job.outcome.reason, want) &&
	    strstr(job.outcome.reason, strerror(ETOOMANYREFS)) && !job.length)
		return true;
	(void)fprintf(stderr, "%s; %s\n", job.outcome.reason, job.output);
	return false;
}

static int gets_no_program_that_could_not_be_watched(void)
{
	job_become_user();
	job_run((struct sandbox_spec){0}, "true", &job);
	job_launcher = job_launcher_new(0);
	if (!fill_sockets(400) || !is_refused_with_full_sockets())
		return 1;
	sandbox_launcher_free(job_launcher);
	job_launcher = NULL;
	return is_refused_with_full_sockets() ? 0 : 2;
}

static void a_user_with_too_many_descriptors_on_their_way_gets_no_program(void **state)
{
	(void)state;
	assert_in_fork(gets_no_program_that_could_not_be_watched);
}

/* --- few descriptors ----------------------------------------------------------------------------
 */

/* This process may have no more than these, and `spare` of them are free. */
#define FEW 200
static int taken[FEW];
static unsigned taken_count;

static bool leave_descriptors(unsigned spare)
{
	const struct rlimit few = {FEW, 20000};

	taken_count = 0;
	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		return false;
	while (taken_count < FEW && (taken[taken_count] = fcntl(0, F_DUPFD_CLOEXEC, 3)) >= 0)
		taken_count++;
	for (; spare > 0 && taken_count > 0; spare--)
		(void)close(taken[--taken_count]);
	return taken_count < FEW;
}

static void take_descriptors_back(void)
{
	while (taken_count > 0)
		(void)close(taken[--taken_count]);
}

static char few_tree[] = "/dev/shm/cupel-few-XXXXXX";

static bool has_run(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/ran", few_tree);
	return unlink(path) == 0;
}

/* NULL; or what is wrong with how a job started, or didn't. */
static const char *start_with(unsigned spare, unsigned ready, bool *started)
{
	static const char *const argv[] = {"sh", "-c", "echo > ran; exec sleep 1000", NULL};
	struct sandbox_spec spec = {.argv = argv, .worktree = few_tree, .launcher = job_launcher};
	struct sandbox *s = NULL;
	static struct error err;
	int64_t began = clock_boot_ms();
	int rc;

	if (!leave_descriptors(spare))
		return "there are too many descriptors";
	err.code = 0;
	rc = sandbox_start(&spec, &s, &err);
	take_descriptors_back();
	sandbox_free(s);
	*started = rc == 0;
	if (clock_boot_ms() - began > DEADLINE_S * 1000)
		return "it took that long";
	if (rc == 0) {
		(void)has_run();
		return NULL;
	}
	if (rc != -EMFILE || !strstr(err.text, "Too many open files") ||
	    !strstr(err.text, "ulimit -n"))
		return err.text;
	job_run((struct sandbox_spec){0}, "true", &job);
	if (job.outcome.verdict != SANDBOX_PASSED)
		return job.outcome.reason;
	if (clock_boot_ms() - began > DEADLINE_S * 1000)
		return "the next one took that long";
	while (live_children(job_launcher ? sandbox_launcher_pid(job_launcher) : getpid()) > ready)
		if (clock_boot_ms() - began > DEADLINE_S * 1000)
			return "its first process lives on";
		else
			(void)poll(NULL, 0, 1);
	return has_run() ? "it ran" : NULL;
}

/* From none on, until there are enough. */
static int starts_or_is_refused(unsigned ready)
{
	unsigned passed = 0, refused = 0;

	job_run((struct sandbox_spec){0}, "true", &job); /* what a process keeps is there then */
	for (unsigned spare = 0; spare < 30; spare++) {
		bool started = false;
		const char *problem = start_with(spare, ready, &started);

		if (problem) {
			(void)fprintf(stderr, "%u descriptors, %u ready: %s\n", spare, ready,
				      problem);
			return 1;
		}
		passed += started;
		refused += !started;
	}
	return passed > 2 && refused > 5 ? 0 : 2;
}

static int starts_or_is_refused_in_any_way(void)
{
	int rc = starts_or_is_refused(0);

	for (unsigned ready = 0; rc == 0 && ready <= 2; ready += 2) {
		job_launcher = job_launcher_new(ready);
		rc = starts_or_is_refused(ready);
		sandbox_launcher_free(job_launcher);
		job_launcher = NULL;
	}
	return rc;
}

static int starts_or_is_refused_as_a_user(void)
{
	job_become_user();
	return starts_or_is_refused_in_any_way();
}

/* Nothing can be made ready while two jobs run, and what was begun of it doesn't stay open. */
static int keeps_no_descriptors_of_what_could_not_be_made_ready(void)
{
	int open_now[FEW];
	struct sandbox *jobs[2];
	unsigned left = 0;

	job_launcher = job_launcher_new(2);
	job_run((struct sandbox_spec){0}, "true", &job);
	for (int i = 0; i < 2; i++)
		jobs[i] = start_sleeper();
	if (!leave_descriptors(8))
		return 1;
	for (int woken = 0; woken < 2;) { /* the first time may be too early */
		struct pollfd wait = {.fd = sandbox_fd(jobs[0]), .events = POLLIN};

		woken += poll(&wait, 1, DEADLINE_S * 1000);
		(void)sandbox_step(jobs[0], NULL);
	}
	while (left < FEW && (open_now[left] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		left++;
	for (unsigned i = 0; i < left; i++)
		(void)close(open_now[i]);
	take_descriptors_back();
	for (int i = 0; i < 2; i++)
		sandbox_free(jobs[i]);
	sandbox_launcher_free(job_launcher);
	return left >= 8 ? 0 : 2;
}

static void what_cannot_be_made_ready_keeps_no_descriptors(void **state)
{
	(void)state;
	assert_in_fork(keeps_no_descriptors_of_what_could_not_be_made_ready);
}

static void a_caller_without_descriptors_is_refused_and_nothing_runs(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(few_tree));
	assert_int_equal(chown(few_tree, TEST_UID, TEST_UID), 0);
	assert_in_fork(starts_or_is_refused_in_any_way);
	assert_in_fork(starts_or_is_refused_as_a_user);
	(void)has_run();
	assert_int_equal(rmdir(few_tree), 0);
}

/* Its launcher has few of them, and keeps some for each job. */
static int is_refused_when_the_launcher_has_used_up(rlim_t its)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	const struct rlimit few = {its, 20000}, many = {1000, 20000};
	struct sandbox *s[PROCESSES] = {NULL};
	struct sandbox_spec spec = {.argv = argv};
	struct error err = {0};
	int64_t began;
	size_t i = 0;
	int rc = 0;

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || !(job_launcher = job_launcher_new(0)) ||
	    setrlimit(RLIMIT_NOFILE, &many) < 0)
		return 1;
	spec.launcher = job_launcher;
	if (sandbox_can() & SANDBOX_CAN_MEMORY) /* more groups: what it is sent doesn't fit */
		spec.limits = (struct sandbox_limits){.memory = 64 << 20, .tasks = 20};
	began = clock_boot_ms();
	while (i < PROCESSES && (rc = sandbox_start(&spec, &s[i], &err)) == 0)
		i++;
	if (rc != -EMFILE || !strstr(err.text, "ulimit -n") ||
	    clock_boot_ms() - began > DEADLINE_S * 1000) {
		(void)fprintf(stderr, "job %zu: %d: %s\n", i, rc, err.text);
		return 2;
	}
	while (i > 0)
		sandbox_free(s[--i]);
	job_run((struct sandbox_spec){0}, "true", &job);
	sandbox_launcher_free(job_launcher);
	return job.outcome.verdict == SANDBOX_PASSED ? 0 : 3;
}

/* Whatever it is that it has no room for. */
static int is_refused_when_the_launcher_has_none(void)
{
	int rc = 0;

	for (rlim_t its = 26; its < 50 && rc == 0; its++)
		rc = is_refused_when_the_launcher_has_used_up(its);
	return rc;
}

static void a_launcher_without_descriptors_says_so(void **state)
{
	(void)state;
	assert_in_fork(is_refused_when_the_launcher_has_none);
}

static int passes_without_stdio(void)
{
	for (int i = 0; i < 3; i++)
		(void)close(i);
	return passes_with_an_interrupt();
}

static void a_caller_without_standard_descriptors_has_one(void **state)
{
	(void)state;
	assert_in_fork(passes_without_stdio);
}

/* With both its processes. */
static bool a_job_is_in_its_group(void)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	struct sandbox_spec spec = {.argv = argv, .name = job_groups, .launcher = job_launcher};
	struct sandbox *s = NULL;
	char command[256];
	bool inside;

	if (sandbox_start(&spec, &s, NULL) < 0)
		return false;
	(void)snprintf(command, sizeof(command),
		       "for e in $(find /sys/fs/cgroup -path '*/%s/cgroup.events'); do "
		       "[ $(wc -l < ${e%%/*}/cgroup.procs) = 2 ] || exit 1; done",
		       job_groups);
	inside = system(command) == 0;
	sandbox_free(s);
	return inside;
}

/* clone3 is refused in some containers, and with it the birth in a group. */
static int is_in_its_group_without_clone3(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	const struct sock_fprog filter = {4, code};
	bool inside;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0 ||
	    !(job_launcher = job_launcher_new(0)))
		return 1;
	inside = a_job_is_in_its_group();
	sandbox_launcher_free(job_launcher);
	return inside ? 0 : 2;
}

static void a_job_is_in_its_group_also_where_it_could_not_be_born_there(void **state)
{
	(void)state;
	assert_in_fork(is_in_its_group_without_clone3);
}

/* A group of the caller's that was killed before he came: the kernel remembers that. */
static char killed_group[80];
static int killed_dir = -1;

static bool make_killed_group(void)
{
	const struct places *places = places_get();

	(void)snprintf(killed_group, sizeof(killed_group), "%s-killed", job_groups);
	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->place[i];

		if (!place->v2 || mkdirat(place->dir, killed_group, 0755) < 0)
			continue;
		killed_dir = openat(place->dir, killed_group, O_RDONLY | O_CLOEXEC);
		return cgroup_write_text(killed_dir, "cgroup.kill", "1") == 0;
	}
	return false;
}

static bool enter_killed_group(void)
{
	return cgroup_write_text(killed_dir, "cgroup.procs", "0") == 0;
}

static int is_in_its_group_without_launcher(void)
{
	return enter_killed_group() && a_job_is_in_its_group() ? 0 : 1;
}

static int are_in_their_groups_by_launchers(void)
{
	if (!enter_killed_group())
		return 1;
	for (unsigned ready = 0; ready <= 2; ready += 2) {
		job_launcher = job_launcher_new(ready);
		for (int i = 0; i < 3; i++) {
			job_run((struct sandbox_spec){.limits = {.tasks = 50}}, "true", &job);
			if (job.outcome.verdict != SANDBOX_PASSED || !a_job_is_in_its_group()) {
				(void)fprintf(stderr, "%s\n", job.outcome.reason);
				return 2;
			}
		}
		sandbox_launcher_free(job_launcher);
	}
	return 0;
}

static void a_caller_in_a_group_that_was_killed_has_jobs(void **state)
{
	(void)state;
	if (!make_killed_group()) {
		print_message("SKIP %s: no control group that could be killed\n", __func__);
		skip();
	}
	assert_in_fork(is_in_its_group_without_launcher);
	assert_in_fork(are_in_their_groups_by_launchers);
	assert_true(remove_groups(killed_group));
}

/* A v1 freezer, the one place where a signal waits; -1. */
static int make_freezer(const char *name, int *above)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->place[i];

		*above = place->dir;
		if (!place->v2 && (place->controllers & CONTROLLER_FREEZER) &&
		    mkdirat(place->dir, name, 0755) == 0)
			return openat(place->dir, name, O_RDONLY | O_CLOEXEC);
	}
	return -1;
}

static void a_job_that_does_not_die_is_told(void **state)
{
	struct launched l = LAUNCHED_NONE;
	struct error err = {.code = EIO, .text = "this failed"};
	char name[80], frozen[16] = "";
	int above = -1, freezer;

	(void)state;
	(void)snprintf(name, sizeof(name), "%s-frozen", job_groups);
	freezer = make_freezer(name, &above);
	if (freezer < 0) {
		print_message("SKIP %s: no control group that freezes signals, too\n", __func__);
		skip();
	}
	l.pid = fork();
	if (l.pid == 0)
		for (;;)
			(void)pause();
	l.pidfd = (int)syscall(SYS_pidfd_open, l.pid, 0);
	assert_int_equal(cgroup_write_number(freezer, "cgroup.procs", (uint64_t)l.pid), 0);
	assert_int_equal(cgroup_write_text(freezer, "freezer.state", "FROZEN"), 0);
	wait_until(cgroup_read_text(freezer, "freezer.state", frozen, sizeof(frozen)) > 0 &&
			   strcmp(frozen, "FROZEN\n") == 0,
		   "it doesn't freeze");
	assert_int_equal(launched_kill(&l, "its-name", -EIO, &err), -EIO);
	assert_non_null(strstr(err.text, "this failed; and the job's first process doesn't die"));
	assert_non_null(strstr(err.text, "its-name"));
	assert_int_equal(cgroup_write_text(freezer, "freezer.state", "THAWED"), 0);
	assert_int_equal(waitpid(l.pid, NULL, 0), l.pid);
	(void)close(freezer);
	wait_until(unlinkat(above, name, AT_REMOVEDIR) == 0, "the group is in use");
}

static void a_killed_job_that_does_not_die_is_told(void **state)
{
	char name[80], frozen[16] = "";
	struct error err = {0};
	pid_t children[PROCESSES];
	int above = -1, freezer, rc = 0;
	struct sandbox *s;

	(void)state;
	(void)snprintf(name, sizeof(name), "%s-frozen", job_groups);
	freezer = make_freezer(name, &above);
	if (freezer < 0) {
		print_message("SKIP %s: no control group that freezes signals, too\n", __func__);
		skip();
	}
	s = start_sleeper();
	assert_int_equal(children_of(getpid(), children), 1);
	assert_int_equal(cgroup_write_number(freezer, "cgroup.procs", (uint64_t)children[0]), 0);
	assert_int_equal(cgroup_write_text(freezer, "freezer.state", "FROZEN"), 0);
	wait_until(cgroup_read_text(freezer, "freezer.state", frozen, sizeof(frozen)) > 0 &&
			   strcmp(frozen, "FROZEN\n") == 0,
		   "it doesn't freeze");
	sandbox_kill(s, "by the test");
	while (rc == 0) { /* it wakes its caller for it */
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		assert_int_equal(poll(&wait, 1, DEADLINE_S * 1000), 1);
		rc = sandbox_step(s, &err);
	}
	assert_int_equal(rc, -EBUSY);
	assert_non_null(strstr(err.text, "doesn't die: it waits for a disk"));
	assert_int_equal(sandbox_step(s, &err), 0);
	assert_int_equal(cgroup_write_text(freezer, "freezer.state", "THAWED"), 0);
	wait_until(sandbox_step(s, NULL) == 1, "it doesn't end");
	sandbox_free(s);
	(void)close(freezer);
	wait_until(unlinkat(above, name, AT_REMOVEDIR) == 0, "the group is in use");
}

static void the_limits_of_the_last_job_are_not_the_next_ones(void **state)
{
	static const char big[] = "head -c 100M /dev/zero | tail -c 90M | wc -c";
	const struct sandbox_limits little = {.memory = 64 << 20}, more = {.memory = 512 << 20};

	(void)state;
	if (!(sandbox_can() & SANDBOX_CAN_MEMORY)) {
		print_message("SKIP %s: no usable control groups here\n", __func__);
		skip();
	}
	start_launcher(1);
	for (int i = 0; i < 3; i++) { /* what is ready is made for the one before */
		job_run((struct sandbox_spec){.limits = little}, big, &job);
		assert_verdict(&job, SANDBOX_KILLED);
		job_run((struct sandbox_spec){.limits = more}, big, &job);
		assert_verdict(&job, SANDBOX_PASSED);
		job_run((struct sandbox_spec){.limits = little}, big, &job);
		assert_verdict(&job, SANDBOX_KILLED);
		job_run((struct sandbox_spec){0}, big, &job);
		assert_verdict(&job, SANDBOX_PASSED);
	}
	end_launcher();
}

static void a_launcher_that_dies_takes_its_jobs_along(void **state)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	struct sandbox_spec spec = {.argv = argv, .name = job_groups};
	struct sandbox_outcome outcome;
	struct sandbox *s = NULL;
	struct error err = {0};
	pid_t first[PROCESSES];

	(void)state;
	start_launcher(0);
	spec.launcher = job_launcher;
	assert_int_equal(sandbox_start(&spec, &s, &err), 0);
	assert_int_equal(children_of(sandbox_launcher_pid(job_launcher), first), 1);
	assert_int_equal(kill(sandbox_launcher_pid(job_launcher), SIGKILL), 0);
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		assert_int_equal(poll(&wait, 1, DEADLINE_S * 1000), 1);
	}
	sandbox_outcome(s, &outcome);
	assert_int_equal(outcome.verdict, SANDBOX_ERRORED);
	assert_true(outcome.infrastructure);
	assert_non_null(strstr(outcome.reason, "the launcher died"));
	sandbox_free(s);
	wait_until(is_gone(first[0]), "the job's first process lives on");
	assert_false(job_groups_are_left());
	assert_int_equal(sandbox_start(&spec, &s, &err), -ECHILD);
	assert_non_null(strstr(err.text, "make another one"));
	assert_false(job_groups_are_left());
	end_launcher();
}

/* --- killed at each step ------------------------------------------------------------------------
 */

/* From the first step on at which it has heard from its parent: before, it waits for him.
 *
 * What the process that stands still at a step told of itself. */
struct halted {
	pid_t caller, launcher;
	pid_t child; /* the job's first process */
};

/* A caller of its own, who stops when the job's first process has come to `step`. */
static struct halted halt_at(enum step step, enum birth birth)
{
	struct halted h = {.caller = fork()};
	pid_t children[PROCESSES] = {0};
	int status;

	if (h.caller == 0) {
		if (birth != BIRTH_PLANNED && !(job_launcher = job_launcher_new(0)))
			_exit(2);
		init_fault = (struct fault){step, FAULT_HALT};
		job_run(specs[birth], "sleep 1000", &job);
		sandbox_launcher_free(job_launcher);
		_exit(job.outcome.verdict == SANDBOX_ERRORED && job.outcome.infrastructure ? 0 : 1);
	}
	assert_int_equal(waitpid(h.caller, &status, WUNTRACED), h.caller);
	if (!WIFSTOPPED(status))
		fail_msg("step %s of birth %d: the caller ended: %d", step_name(step), birth,
			 status);
	assert_int_equal(children_of(h.caller, children), 1);
	h.child = children[0];
	if (birth == BIRTH_PLANNED)
		return h;
	h.launcher = children[0];
	assert_int_equal(children_of(h.launcher, children), 1);
	h.child = children[0];
	return h;
}

static void kill_callers(enum birth birth)
{
	for (int step = STEP_GO + 1; step < STEP_COUNT; step++) {
		struct halted h;

		if (!init_does((enum step)step, birth))
			continue;
		h = halt_at((enum step)step, birth);
		assert_int_equal(kill(h.caller, SIGKILL), 0);
		assert_int_equal(waitpid(h.caller, NULL, 0), h.caller);
		wait_until(is_gone(h.child), step_name((enum step)step));
		if (h.launcher)
			wait_until(is_gone(h.launcher), "the launcher lives on");
		assert_int_equal(sandbox_remove(NULL, job_groups, NULL), 0);
		assert_false(job_groups_are_left());
	}
}

static void a_caller_killed_at_any_step_takes_all_along(void **state)
{
	(void)state;
	kill_callers(BIRTH_PLANNED);
	kill_callers(BIRTH_PLAIN);
	kill_callers(BIRTH_READY);
}

static void kill_launchers(enum birth birth)
{
	for (int step = STEP_GO + 1; step < STEP_COUNT; step++) {
		struct halted h;
		int status;

		if (!init_does((enum step)step, birth))
			continue;
		h = halt_at((enum step)step, birth);
		assert_int_equal(kill(h.launcher, SIGKILL), 0);
		wait_until(is_gone(h.child), step_name((enum step)step));
		assert_int_equal(kill(h.caller, SIGCONT), 0);
		assert_int_equal(waitpid(h.caller, &status, 0), h.caller);
		if (status)
			fail_msg("step %s: the caller was told something else",
				 step_name((enum step)step));
		assert_false(job_groups_are_left());
	}
}

static void a_launcher_killed_at_any_step_is_told(void **state)
{
	(void)state;
	kill_launchers(BIRTH_PLAIN);
	kill_launchers(BIRTH_READY);
}

/* A first process that the kernel killed at its birth has another one made. */
static void run_once(enum birth birth)
{
	for (int step = STEP_LISTENER + 1; step < STEP_COUNT; step++) {
		struct halted h = halt_at((enum step)step, birth);
		int status;

		assert_int_equal(kill(h.child, SIGKILL), 0);
		wait_until(is_gone(h.child), step_name((enum step)step));
		assert_int_equal(kill(h.caller, SIGCONT), 0);
		assert_int_equal(waitpid(h.caller, &status, WUNTRACED), h.caller);
		if (status) {
			(void)kill(h.caller, SIGKILL);
			fail_msg("step %s of birth %d: it came there again, or passed: %x",
				 step_name((enum step)step), birth, (unsigned)status);
		}
		assert_false(job_groups_are_left());
	}
}

static void a_program_is_never_executed_twice(void **state)
{
	(void)state;
	run_once(BIRTH_PLANNED);
	run_once(BIRTH_PLAIN);
	run_once(BIRTH_READY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_launcher_is_refused),
		cmocka_unit_test(a_launcher_serves_no_fork_of_its_caller),
		cmocka_unit_test(every_job_has_a_network_of_its_own),
		cmocka_unit_test(ready_ones_wait_and_go_with_their_launcher),
		cmocka_unit_test(what_was_used_is_made_again_while_jobs_run),
		cmocka_unit_test(what_is_over_and_kept_keeps_none_from_being_ready),
		cmocka_unit_test(no_files_of_groups_stay_behind),
		cmocka_unit_test(what_waits_is_not_used_where_it_does_not_fit),
		cmocka_unit_test(a_job_whose_limits_are_refused_leaves_nothing),
		cmocka_unit_test(a_command_may_be_longer_than_a_packet),
		cmocka_unit_test(limits_that_were_refused_are_refused_again),
		cmocka_unit_test(the_next_job_of_a_user_may_have_other_tasks),
		cmocka_unit_test(a_job_with_limits_of_io_leaves_what_waits),
		cmocka_unit_test(groups_kept_for_the_next_job_may_be_removed_by_their_owner),
		cmocka_unit_test(two_kinds_in_turn_leave_no_groups),
		cmocka_unit_test(a_dead_one_is_not_handed_out),
		cmocka_unit_test(a_fork_that_frees_it_does_no_harm),
		cmocka_unit_test(a_user_s_worktree_may_be_mounted_after_his_launcher_was_made),
		cmocka_unit_test(an_interrupt_is_for_the_caller),
		cmocka_unit_test(what_waits_leaves_descriptors_to_its_caller),
		cmocka_unit_test(what_is_put_off_leaves_descriptors_to_the_launcher),
		cmocka_unit_test(a_user_with_too_many_descriptors_on_their_way_gets_no_program),
		cmocka_unit_test(what_cannot_be_made_ready_keeps_no_descriptors),
		cmocka_unit_test(a_caller_without_descriptors_is_refused_and_nothing_runs),
		cmocka_unit_test(a_launcher_without_descriptors_says_so),
		cmocka_unit_test(a_caller_without_standard_descriptors_has_one),
		cmocka_unit_test(a_job_is_in_its_group_also_where_it_could_not_be_born_there),
		cmocka_unit_test(a_caller_in_a_group_that_was_killed_has_jobs),
		cmocka_unit_test(a_job_that_does_not_die_is_told),
		cmocka_unit_test(a_killed_job_that_does_not_die_is_told),
		cmocka_unit_test(the_limits_of_the_last_job_are_not_the_next_ones),
		cmocka_unit_test(a_launcher_that_dies_takes_its_jobs_along),
		cmocka_unit_test(a_caller_killed_at_any_step_takes_all_along),
		cmocka_unit_test(a_launcher_killed_at_any_step_is_told),
		cmocka_unit_test(a_program_is_never_executed_twice),
	};

	if (geteuid() != 0) {
		print_message("SKIP test_launcher: needs root\n");
		return 0;
	}
	job_groups_init("test-launcher");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
