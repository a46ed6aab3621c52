/* not under valgrind: it lacks the mount and pidfd calls */
/* Real jobs: every limit, every wall, as root and as a user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sandbox/jobs.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct job job;

static bool lacks(unsigned can, const char *test)
{
	if ((sandbox_can() & can) == can)
		return false;
	print_message("SKIP %s: no usable control groups here\n", test);
	return true;
}

#define NEEDS(can)                                                                                 \
	do {                                                                                       \
		if (lacks(can, __func__))                                                          \
			skip();                                                                    \
	} while (0)

static void a_job_passes_or_fails_by_its_status(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){0}, "exit 0", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	job_run((struct sandbox_spec){0}, "exit 7", &job);
	assert_verdict(&job, SANDBOX_FAILED);
	assert_int_equal(job.outcome.exit_code, 7);
	job_run((struct sandbox_spec){0}, "kill -SEGV $$", &job);
	assert_verdict(&job, SANDBOX_FAILED);
	assert_int_equal(job.outcome.signal, 11);
}

static void a_user_gets_the_same_walls(void **state)
{
	(void)state;
	job_run_as_user((struct sandbox_spec){0},
			"id -u; grep -c . /proc/mounts; grep CapEff /proc/self/status", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "1000\n");
	assert_says(&job, "CapEff:\t0000000000000000");
}

static void wall_time_ends_a_job(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.wall_ms = 100}}, "sleep 60", &job);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_string_equal(job.outcome.limit, "wall");
	assert_true(job.outcome.usage.wall_ms >= 100 && job.outcome.usage.wall_ms < 20000);
	job_run_as_user((struct sandbox_spec){.limits = {.wall_ms = 100}}, "sleep 60", &job);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
}

static void silence_ends_a_job_but_output_keeps_it_alive(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.idle_ms = 600}}, "echo a; sleep 60", &job);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_string_equal(job.outcome.limit, "idle");
	assert_says(&job, "a\n");
	job_run((struct sandbox_spec){.limits = {.idle_ms = 1500}},
		"for i in 1 2 3 4; do echo $i; sleep 0.5; done", &job);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void the_memory_limit_kills_and_says_how_much(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	job_run((struct sandbox_spec){.limits = {.memory = 32 << 20}},
		"head -c 200000000 /dev/zero | tail -c 200000000 | wc -c", &job);
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, "memory");
	assert_true(job.outcome.usage.memory_peak > 16 << 20);
}

static void files_in_tmp_are_memory(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	job_run((struct sandbox_spec){.limits = {.memory = 32 << 20}},
		"head -c 200000000 /dev/zero > /tmp/x; ls -l /tmp/x", &job);
	assert_int_not_equal(job.outcome.verdict, SANDBOX_ERRORED);
	assert_true(job.outcome.usage.memory_peak <= 33 << 20);
	assert_null(strstr(job.output, "200000000"));
}

static void forks_past_the_task_limit_are_refused(void **state)
{
	static const char bomb[] = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 30 & done; wait";

	(void)state;
	NEEDS(SANDBOX_CAN_TASKS);
	job_run((struct sandbox_spec){.limits = {.tasks = 6}}, bomb, &job);
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, "tasks");
	assert_true(job.outcome.usage.tasks_peak <= 6);
}

static void a_users_task_limit_holds_without_groups(void **state)
{
	(void)state;
	job_run_as_user((struct sandbox_spec){.limits = {.tasks = 6}},
			"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 30 & done; wait", &job);
	assert_verdict(&job, SANDBOX_FAILED);
	assert_says(&job, "fork");
}

static void processor_time_is_counted_over_all_processes(void **state)
{
	(void)state;
	NEEDS(SANDBOX_CAN_CPU_TIME);
	job_run((struct sandbox_spec){.limits = {.cpu_time_ms = 200}},
		"(while :; do :; done) & while :; do :; done", &job);
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, "cpu_time");
}

static void bandwidth_is_held(void **state)
{
	struct sandbox_usage *u = &job.outcome.usage;

	(void)state;
	NEEDS(SANDBOX_CAN_CPU);
	job_run((struct sandbox_spec){.limits = {.cpu_milli = 200, .wall_ms = 1000}},
		"while :; do :; done", &job);
	assert_verdict(&job, SANDBOX_TIMED_OUT);
	assert_true((u->cpu_user_ms + u->cpu_system_ms) * 1000 < u->wall_ms * 450);
}

static void output_is_cut_at_its_limit_to_the_byte(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.output = 1000}}, "yes", &job);
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, "output");
	assert_int_equal(job.outcome.usage.output_bytes, 1000);
	assert_int_equal(job.length, 1000);
}

static void output_can_be_cut_and_the_job_go_on(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.output = 1000}, .cut_output = true},
		"head -c 100000 /dev/zero; exit 5", &job);
	assert_verdict(&job, SANDBOX_FAILED);
	assert_int_equal(job.outcome.exit_code, 5);
	assert_true(job.outcome.output_cut);
	assert_int_equal(job.length, 1000);
}

static struct sandbox *holder;

static void take_and_hold(void *context, int stream, const void *bytes, size_t length)
{
	(void)stream;
	(void)bytes;
	*(size_t *)context += length;
	sandbox_hold_output(holder, true);
}

static void start_held(size_t *taken)
{
	static const char *const argv[] = {"head", "-c", "1000000", "/dev/zero", NULL};
	const struct sandbox_spec spec = {.argv = argv,
					  .launcher = job_launcher,
					  .output = take_and_hold,
					  .context = taken,
					  .limits = {.wall_ms = 20000}};

	*taken = 0;
	assert_int_equal(sandbox_start(&spec, &holder, NULL), 0);
}

static int step_held(void)
{
	struct pollfd wait = {.fd = sandbox_fd(holder), .events = POLLIN};

	(void)poll(&wait, 1, 1000);
	return sandbox_step(holder, NULL);
}

static void output_can_be_held(void **state)
{
	struct sandbox_outcome outcome;
	size_t taken, before = 0;

	(void)state;
	start_held(&taken);
	while (step_held() != 1) {
		assert_true(taken - before <= 1 << 16); /* a piece at a time */
		before = taken;
		assert_int_equal(sandbox_step(holder, NULL), 0);
		assert_int_equal(taken, before);
		sandbox_hold_output(holder, false);
	}
	sandbox_outcome(holder, &outcome);
	assert_int_equal(outcome.verdict, SANDBOX_PASSED);
	assert_int_equal(taken, 1000000);
	sandbox_free(holder);
}

static void a_job_whose_output_is_held_can_be_freed(void **state)
{
	size_t taken;

	(void)state;
	start_held(&taken);
	while (!taken)
		assert_int_equal(step_held(), 0);
	sandbox_free(holder);
}

static void open_files_are_limited(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.files = 8}}, "ulimit -n; ulimit -Hn", &job);
	assert_says(&job, "8\n8\n");
	job_run((struct sandbox_spec){.limits = {.files = 4}}, "ulimit -n", &job); /* the least */
	assert_says(&job, "4\n");
}

static void a_private_disk_is_limited(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.limits = {.disk = 1 << 20, .inodes = 100}},
		"head -c 3000000 /dev/zero > /tmp/a || echo full; rm -f /tmp/a;"
		"for i in $(seq 300); do true > /tmp/$i || break; done; ls /tmp | wc -l",
		&job);
	assert_says(&job, "full");
	assert_in_range(atoi(strrchr(job.output, 0x0a) - 2), 80, 99);
}

static void a_place_with_room_for_more_than_the_limit_is_refused(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX";
	const struct sandbox_bind bind = {.from = path, .to = "/cache", .writable = true};

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	job_run((struct sandbox_spec){.worktree = path, .limits = {.disk = 1 << 20}}, "echo ran",
		&job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "disk can't be held: the worktree is on"));
	job_run((struct sandbox_spec){.binds = &bind, .bind_count = 1, .limits = {.disk = 1 << 20}},
		"echo ran", &job);
	assert_int_equal(rmdir(path), 0);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_true(strstr(job.outcome.reason, "disk can't be held: bind '/dev/shm/cupel") ||
		    strstr(job.outcome.reason, "can't map")); /* a tmpfs, before Linux 6.3 */
}

/* A user's worktree comes with what is mounted in it; root's doesn't. */
static void a_user_s_worktree_with_more_room_below_is_refused(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX", below[64];

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(mount("test", path, "tmpfs", 0, "size=1m,mode=777"), 0);
	(void)snprintf(below, sizeof(below), "%s/below", path);
	assert_int_equal(mkdir(below, 0777), 0);
	assert_int_equal(mount("test", below, "tmpfs", 0, "size=2m,mode=777"), 0);
	job_run_as_user((struct sandbox_spec){.worktree = path, .limits = {.disk = 1 << 20}},
			"head -c 2M /dev/zero > below/full", &job);
	assert_int_equal(umount(below), 0);
	assert_int_equal(umount(path), 0);
	assert_int_equal(rmdir(path), 0);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "another file system is mounted below the"));
}

/* Also where the filter answers openat2(), for root's worktrees. */
static void a_directory_below_the_worktree_is_begun_in(void **state)
{
	static const uid_t owners[] = {0, TEST_UID};
	static const char *const wrong[] = {"none", "file", "link", "a/link"};
	char tree[] = "/dev/shm/cupel-test-XXXXXX", make[256];

	(void)state;
	assert_non_null(mkdtemp(tree));
	(void)snprintf(make, sizeof(make),
		       "cd %s && mkdir -p a/b && : > file && ln -s a link && ln -s b a/link", tree);
	assert_int_equal(system(make), 0);
	for (size_t o = 0; o < 2; o++) {
		struct sandbox_spec spec = {.worktree = tree, .workdir = "a//b/"};

		assert_int_equal(chown(tree, owners[o], owners[o]), 0);
		job_run(spec, "pwd", &job);
		if (strstr(job.outcome.reason, "can't map that to the job's user"))
			continue; /* a tmpfs before Linux 6.3 */
		assert_verdict(&job, SANDBOX_PASSED);
		assert_string_equal(job.output, "/build/a/b\n");
		for (size_t i = 0; i < 4; i++) {
			spec.workdir = wrong[i];
			job_run(spec, "pwd", &job);
			assert_verdict(&job, SANDBOX_ERRORED);
			assert_non_null(strstr(job.outcome.reason, wrong[i]));
		}
	}
	(void)snprintf(make, sizeof(make), "rm -r %s", tree);
	assert_int_equal(system(make), 0);
}

static void a_full_disk_is_told(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(mount("test", path, "tmpfs", 0, "size=1m,nr_inodes=100"), 0);
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	job_run((struct sandbox_spec){.worktree = path, .limits = {.disk = 1 << 20}},
		"head -c 3000000 /dev/zero > a", &job);
	assert_verdict(&job, SANDBOX_KILLED);
	assert_string_equal(job.outcome.limit, "disk");
	assert_int_equal(job.outcome.usage.disk_peak, 1 << 20);
	assert_int_equal(umount(path), 0);
	assert_int_equal(rmdir(path), 0);
}

static void too_many_files_are_told(void **state)
{
	static const char *const places[] = {"/tmp", "."};
	char path[] = "/dev/shm/cupel-test-XXXXXX", script[128];

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(mount("test", path, "tmpfs", 0, "size=1m,nr_inodes=30"), 0);
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(script, sizeof(script),
			       "for i in $(seq 100); do : > %s/$i || exit 3; done", places[i]);
		job_run((struct sandbox_spec){.worktree = path, .limits = {.inodes = 30}}, script,
			&job);
		assert_verdict(&job, SANDBOX_KILLED);
		assert_string_equal(job.outcome.limit, "inodes");
		assert_non_null(strstr(job.outcome.reason, "limit of 30 inodes"));
	}
	assert_int_equal(umount(path), 0);
	assert_int_equal(mount("test", path, "tmpfs", 0, "size=1m,nr_inodes=30"), 0);
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	job_run((struct sandbox_spec){.worktree = path, .limits = {.inodes = 30}}, "exit 3", &job);
	assert_verdict(&job, SANDBOX_FAILED);
	assert_int_equal(umount(path), 0);
	assert_int_equal(rmdir(path), 0);
}

static void what_a_user_cannot_hold_is_refused(void **state)
{
	(void)state;
	job_run_as_user((struct sandbox_spec){.limits = {.memory = 64 << 20}}, "echo ran", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, "memory can't be held"));
	assert_int_equal(job.outcome.shell_status, 125);
	assert_int_equal(job.length, 0);
}

static void the_root_is_made_from_nothing(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){0},
		"ls /; ls -A /build /tmp /home/job; stat -c %d:%i / /..; awk '{print $2}' /proc/mounts",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_null(strstr(job.output, "lost+found"));
	assert_null(strstr(job.output, "/sys/fs/cgroup"));
	assert_null(strstr(job.output, "/boot"));
}

static void nothing_of_the_host_can_be_written(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){0},
		"for f in /x /usr/x /etc/x /etc/passwd /bin/sh /proc/sys/kernel/core_pattern "
		"/proc/sysrq-trigger /dev/x /run/x /root/x; do echo x >> $f && echo WROTE $f; done; true",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "/proc/sys/kernel/core_pattern"); /* refused by name */
	assert_null(strstr(job.output, "WROTE"));
}

static void the_job_has_three_descriptors_and_no_input(void **state)
{
	int leak = open("/etc", O_RDONLY | O_DIRECTORY); /* on purpose without O_CLOEXEC */

	(void)state;
	job_run((struct sandbox_spec){0}, "cd /proc/self/fd; echo *; cat; tty", &job);
	assert_says(&job, "0 1 2 ");
	assert_says(&job, "not a tty");
	(void)close(leak);
}

static void the_environment_is_a_list(void **state)
{
	static const char *const env[] = {"A=1", "PATH=/usr/bin", NULL};

	(void)state;
	assert_int_equal(setenv("SECRET", "hunter2", 1), 0);
	job_run((struct sandbox_spec){.env = env}, "env; tr '\\0' '\\n' < /proc/1/environ", &job);
	assert_null(strstr(job.output, "hunter2"));
	assert_says(&job, "A=1");
	assert_says(&job, "PATH=/usr/bin\n");
	assert_says(&job, "HOME=/home/job");
}

static void the_first_process_tells_nothing_about_the_caller(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){0},
		"tr -d '\\0' < /proc/1/cmdline; for f in exe fd maps environ mem root; do "
		"ls /proc/1/$f/ 2>/dev/null && echo LEAK $f; head -c 1 /proc/1/$f 2>/dev/null && echo LEAK $f; done; echo tried",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "tried");
	assert_null(strstr(job.output, "LEAK"));
	assert_null(strstr(job.output, "test_jobs"));
}

static void what_the_caller_ignores_the_job_does_not(void **state)
{
	static const unsigned long ignore[4] = {(unsigned long)SIG_IGN};

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)syscall(SYS_rt_sigaction, 33, ignore, NULL,
		      8UL); /* the library's own, set by nobody here */
	job_run((struct sandbox_spec){0}, "grep SigIgn /proc/self/status", &job);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "SigIgn:\t0000000000000000\n");
}

/* A line of his in /etc/subuid, as useradd writes one. */
static int become_user_with_subordinate_ids(void)
{
	static const char *const files[][2] = {
		{"/etc/passwd", "test-sub:x:54321:54321::/:/bin/sh\n"},
		{"/etc/group", "test-sub:x:54321:\n"},
		{"/etc/subuid", "test-sub:1000000:65536\n"},
		{"/etc/subgid", "test-sub:1000000:65536\n"}};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		char path[] = "/dev/shm/cupel-test-XXXXXX";
		int fd = mkstemp(path);

		if (fd < 0 || dprintf(fd, "%s", files[i][1]) < 0 || fchmod(fd, 0644) < 0 ||
		    mount(path, files[i][0], NULL, MS_BIND, NULL) < 0)
			return -1;
		(void)unlink(path);
		(void)close(fd);
	}
	return 0;
}

static void a_user_with_subordinate_ids_gets_the_same_walls(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	if (access("/usr/bin/newuidmap", X_OK) < 0 || access("/etc/subuid", F_OK) < 0) {
		print_message("SKIP %s: newuidmap (package uidmap) isn't there\n", __func__);
		skip();
	}
	pid = fork();
	if (pid == 0) {
		if (become_user_with_subordinate_ids() < 0)
			_exit(1);
		job_run_as_user((struct sandbox_spec){0},
				"id -u; wc -l < /proc/self/uid_map; touch /tmp/x", &job);
		(void)fprintf(stderr, "%s\n", job.outcome.verdict ? job.outcome.reason : "");
		_exit(job.outcome.verdict == SANDBOX_PASSED && strcmp(job.output, "1000\n3\n") == 0
			      ? 0
			      : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void loopback_works_and_nothing_else_does(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){0}, "grep -c : /proc/net/dev; grep lo: /proc/net/dev", &job);
	assert_says(&job, "1\n");
}

static void a_network_made_ahead_serves_one_job(void **state)
{
	owned_fd ahead = sandbox_network_new(NULL);
	struct sandbox_spec spec = {.network_open = true, .network_fd = ahead};
	char before[64] = "", after[64] = "";

	(void)state;
	assert_true(ahead >= 0);
	assert_true(readlink("/proc/self/ns/net", before, sizeof(before) - 1) > 0);
	job_run(spec,
		"readlink /proc/self/ns/net; wc -l < /proc/net/dev; python3 -c 'import socket;"
		"s=socket.socket();s.bind((\"127.0.0.1\",0));s.listen();"
		"socket.create_connection(s.getsockname());print(\"lo up\")'",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "\n3\nlo up\n"); /* two lines of heading, and lo */
	assert_null(strstr(job.output, before));
	assert_true(readlink("/proc/self/ns/net", after, sizeof(after) - 1) > 0);
	assert_string_equal(before, after);
}

/* Not the one of the process's main thread. NULL: as it should be. */
static void *starts_a_job_from_a_network_of_its_own(void *problem)
{
	owned_fd ahead = -1;
	char before[64] = "", after[64] = "";

	if (unshare(CLONE_NEWNET) < 0)
		return problem;
	ahead = sandbox_network_new(NULL);
	if (readlink("/proc/thread-self/ns/net", before, sizeof(before) - 1) < 0)
		return problem;
	job_run((struct sandbox_spec){.network_open = true, .network_fd = ahead}, "true", &job);
	if (readlink("/proc/thread-self/ns/net", after, sizeof(after) - 1) < 0)
		return problem;
	return strcmp(before, after) == 0 ? NULL : problem;
}

static void a_thread_stays_in_its_network(void **state)
{
	static char problem[] = "elsewhere";
	pthread_t thread;
	void *result = problem;

	(void)state;
	assert_int_equal(
		pthread_create(&thread, NULL, starts_a_job_from_a_network_of_its_own, problem), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_verdict(&job, SANDBOX_PASSED);
}

static void denied_calls_are_named_with_a_hint(void **state)
{
	const struct sandbox_denied *d = NULL;

	(void)state;
	job_run((struct sandbox_spec){.profile = SANDBOX_CI},
		"unshare -U true; unshare -U true; true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	for (size_t i = 0; i < job.outcome.denied_count; i++)
		if (strcmp(job.outcome.denied[i].name, "unshare") == 0)
			d = &job.outcome.denied[i];
	assert_non_null(d);
	assert_int_equal(d->count, 2);
	assert_non_null(strstr(d->hint, "nested"));
}

static void nested_lets_a_suite_sandbox_itself(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.profile = SANDBOX_NESTED},
		"unshare -Urpf --mount-proc sh -c 'id -u; echo pid $$'", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "0\npid 1\n");
}

static void nothing_survives_its_job(void **state)
{
	(void)state;
	job_run((struct sandbox_spec){.name = job_groups},
		"(setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 987654' &) ; echo bye", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_int_not_equal(system("pgrep -f 'sleep 98765[4]' >/dev/null"), 0);
	assert_false(job_groups_are_left());
}

static void a_missing_command_is_127_and_no_fault_of_the_box(void **state)
{
	static const char *const argv[] = {"nosuch", NULL};
	static const char *const file[] = {"/etc/passwd", NULL};
	struct sandbox_outcome o;

	(void)state;
	assert_int_equal(sandbox_run(&(struct sandbox_spec){.launcher = job_launcher, .argv = argv},
				     &o, NULL),
			 0);
	assert_int_equal(o.shell_status, 127);
	assert_false(o.infrastructure);
	assert_int_equal(sandbox_run(&(struct sandbox_spec){.launcher = job_launcher, .argv = file},
				     &o, NULL),
			 0);
	assert_int_equal(o.shell_status, 126);
}

static void a_worktree_is_written_as_its_owner(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX", file[64];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(chown(path, TEST_UID, TEST_UID), 0);
	job_run((struct sandbox_spec){.worktree = path}, "id -u; echo x > made; stat -c %u made",
		&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "1000\n1000\n");
	(void)snprintf(file, sizeof(file), "%s/made", path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_uid, TEST_UID);
	job_run_as_user((struct sandbox_spec){.worktree = path}, "echo y > made; chmod u+s made",
			&job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(path), 0);
}

static void roots_worktree_gets_no_setuid_files(void **state)
{
	char path[64], command[128];

	(void)state;
	/* The guest of tests/vm has a disk, and no idmapped tmpfs. */
	(void)snprintf(path, sizeof(path), "%s/cupel-test-XXXXXX",
		       access("/mnt/disk", W_OK) == 0 ? "/mnt/disk" : "/dev/shm");
	assert_non_null(mkdtemp(path));
	job_run((struct sandbox_spec){.worktree = path},
		"cp /bin/true a; chmod 4755 a && echo SETID; chmod 2755 a && echo SETID; "
		"python3 -c 'import os; os.open(\"b\", os.O_CREAT|os.O_WRONLY, 0o6755)' && echo SETID; true",
		&job);
	if (strstr(job.outcome.reason, "can't map")) { /* tmpfs before Linux 6.3 */
		assert_int_equal(rmdir(path), 0);
		print_message("SKIP %s: no idmapped tmpfs\n", __func__);
		skip();
	}
	assert_verdict(&job, SANDBOX_PASSED);
	assert_null(strstr(job.output, "SETID"));
	(void)snprintf(command, sizeof(command), "find %s -perm /6000 | grep -q .", path);
	assert_int_not_equal(system(command), 0);
	(void)snprintf(command, sizeof(command), "rm -r %s", path);
	assert_int_equal(system(command), 0);
}

static void refused_as_asked(struct sandbox_spec spec, const char *says)
{
	job_run(spec, "echo ran", &job);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_false(job.outcome.infrastructure);
	if (!strstr(job.outcome.reason, says))
		fail_msg("'%s' isn't in: %s", says, job.outcome.reason);
}

static void the_host_itself_is_no_worktree(void **state)
{
	static const char *const host[] = {"/",    "/etc", "/root",   "/usr",
					   "/var", "/tmp", "/dev/shm"};

	(void)state;
	for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++)
		refused_as_asked((struct sandbox_spec){.worktree = host[i]}, "the host's own");
}

static int runs_in_etc_by_another_name(void)
{
	char path[] = "/dev/shm/cupel-bind-XXXXXX";

	if (!mkdtemp(path) || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/etc", path, NULL, MS_BIND, NULL) < 0)
		return 1;
	job_run((struct sandbox_spec){.worktree = path}, "echo ran", &job);
	return umount2(path, MNT_DETACH) < 0 || rmdir(path) < 0 ||
	       !strstr(job.outcome.reason, "the host's own /etc");
}

static void the_host_itself_is_known_under_other_names(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP %s: needs root\n", __func__);
		skip();
	}
	pid = fork();
	if (pid == 0) {
		job_launcher = NULL; /* it is its maker's alone */
		_exit(runs_in_etc_by_another_name());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_worktree_that_is_a_link_is_refused(void **state)
{
	(void)state;
	(void)unlink("/dev/shm/cupel-test-link");
	assert_int_equal(symlink("/etc", "/dev/shm/cupel-test-link"), 0);
	refused_as_asked((struct sandbox_spec){.worktree = "/dev/shm/cupel-test-link"},
			 "symbolic link");
	refused_as_asked((struct sandbox_spec){.worktree = "/dev/shm/cupel-test-link//"},
			 "symbolic link");
	assert_int_equal(unlink("/dev/shm/cupel-test-link"), 0);
}

static void a_worktree_of_somebody_else_is_named(void **state)
{
	char path[] = "/dev/shm/cupel-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(path));
	job_run_as_user((struct sandbox_spec){.worktree = path}, "echo ran", &job);
	assert_int_equal(rmdir(path), 0);
	assert_verdict(&job, SANDBOX_ERRORED);
	assert_non_null(strstr(job.outcome.reason, path));
	assert_non_null(strstr(job.outcome.reason, "make it his"));
}

/* No other box would do better. */
static void what_is_not_there_is_the_specs_own_fault(void **state)
{
	const struct sandbox_bind bind = {.from = "/nonexistent"};
	owned_fd file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	owned_fd other = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	(void)state;
	refused_as_asked((struct sandbox_spec){.worktree = "/nonexistent"}, "No such file");
	refused_as_asked((struct sandbox_spec){.worktree = "/etc/passwd"}, "is a file");
	refused_as_asked((struct sandbox_spec){.worktree_open = true, .worktree_fd = 999},
			 "descriptor 999: Bad file");
	refused_as_asked((struct sandbox_spec){.worktree_open = true, .worktree_fd = file},
			 "no directory");
	refused_as_asked((struct sandbox_spec){.binds = &bind, .bind_count = 1}, "No such file");
	refused_as_asked((struct sandbox_spec){.root = "/nonexistent"}, "No such file");
	refused_as_asked((struct sandbox_spec){.root = "/etc/passwd"}, "not a directory");
	refused_as_asked((struct sandbox_spec){.network_open = true, .network_fd = 999},
			 "network_fd 999 is no network namespace");
	refused_as_asked((struct sandbox_spec){.network_open = true, .network_fd = file},
			 "is no network namespace");
	refused_as_asked((struct sandbox_spec){.network_open = true, .network_fd = other},
			 "is no network namespace");
}

static void binds_show_and_hide(void **state)
{
	const struct sandbox_bind binds[] = {{.from = "/etc/fstab", .to = "/opt/a/fstab"},
					     {.from = "/usr/share", .to = "/share"}};

	(void)state;
	job_run((struct sandbox_spec){.binds = binds, .bind_count = 2},
		"ls /opt/a /share | head -3; touch /share/x && echo WROTE; true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_says(&job, "fstab");
	assert_null(strstr(job.output, "WROTE"));
}

static void a_frozen_job_stands_still_and_goes_on(void **state)
{
	static const char *const argv[] = {"sh", "-c", "while :; do echo x; done", NULL};
	struct sandbox_spec spec = {.launcher = job_launcher,
				    .argv = argv,
				    .limits = {.wall_ms = 30000, .output = 1 << 30}};
	struct sandbox_usage before, after;
	owned(sandbox) *s = NULL;

	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE);
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	do
		(void)sandbox_step(s, NULL), sandbox_usage(s, &before);
	while (before.output_bytes < 1000);
	assert_int_equal(sandbox_freeze(s, true, NULL), 0);
	for (int quiet = 0; quiet < 3;) { /* what is in the pipe still comes */
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		quiet = poll(&wait, 1, 20) == 0 ? quiet + 1 : 0;
		(void)sandbox_step(s, NULL);
	}
	sandbox_usage(s, &before);
	assert_int_equal(sandbox_freeze(s, false, NULL), 0);
	do
		(void)sandbox_step(s, NULL), sandbox_usage(s, &after);
	while (after.output_bytes == before.output_bytes);
	sandbox_kill(s, "enough");
}

static void a_frozen_job_can_be_killed(void **state)
{
	static const char *const argv[] = {"sleep", "60", NULL};
	struct sandbox_spec spec = {
		.launcher = job_launcher, .argv = argv, .limits = {.wall_ms = 30000}};
	struct sandbox *s = NULL;

	(void)state;
	NEEDS(SANDBOX_CAN_FREEZE);
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	assert_int_equal(sandbox_freeze(s, true, NULL), 0);
	sandbox_free(s); /* returns */
}

static void limits_change_while_it_runs(void **state)
{
	static const char *const argv[] = {"sleep", "60", NULL};
	struct sandbox_spec spec = {
		.launcher = job_launcher, .argv = argv, .limits = {.wall_ms = 60000}};
	const struct sandbox_limits less = {.wall_ms = 50, .memory = 64 << 20};
	const struct sandbox_limits more = {.wall_ms = 50000, .memory = 256 << 20, .tasks = 50};
	const struct sandbox_limits none = {.wall_ms = 50000}, other = {.files = 77};
	struct sandbox_outcome o;
	struct sandbox *s = NULL;

	(void)state;
	NEEDS(SANDBOX_CAN_MEMORY);
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	assert_int_equal(sandbox_set_limits(s, &less, NULL), 0);
	assert_int_equal(sandbox_set_limits(s, &more, NULL), 0);
	assert_int_equal(sandbox_set_limits(s, &none, NULL), 0);
	assert_int_equal(sandbox_set_limits(s, &other, NULL), -EOPNOTSUPP);
	assert_int_equal(sandbox_set_limits(s, &less, NULL), 0);
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, 1000);
	}
	sandbox_outcome(s, &o);
	assert_int_equal(o.verdict, SANDBOX_TIMED_OUT);
	sandbox_free(s);
}

static void a_cancelled_job_says_by_whom(void **state)
{
	static const char *const argv[] = {"sleep", "60", NULL};
	struct sandbox_spec spec = {.launcher = job_launcher, .argv = argv};
	struct sandbox_outcome o;
	struct sandbox *s = NULL;

	(void)state;
	assert_int_equal(sandbox_start(&spec, &s, NULL), 0);
	sandbox_kill(s, "superseded by run 7");
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait = {.fd = sandbox_fd(s), .events = POLLIN};

		(void)poll(&wait, 1, 1000);
	}
	sandbox_outcome(s, &o);
	assert_int_equal(o.verdict, SANDBOX_CANCELLED);
	assert_string_equal(o.reason, "superseded by run 7");
	sandbox_free(s);
}

/* The kernel takes these from whoever changes his user, as a launch does for a moment. */
static void a_launch_leaves_its_caller_as_he_was(void **state)
{
	int signal = 0;

	(void)state;
	assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGUSR2), 0);
	job_run((struct sandbox_spec){0}, "true", &job);
	assert_verdict(&job, SANDBOX_PASSED);
	assert_int_equal(prctl(PR_GET_PDEATHSIG, &signal), 0);
	assert_int_equal(signal, SIGUSR2);
	assert_int_equal(prctl(PR_SET_PDEATHSIG, 0), 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
	assert_int_equal(prctl(PR_GET_SECUREBITS), 0);
	assert_int_equal(geteuid(), 0);
}

static void expect_processors(const cpu_set_t *set)
{
	char script[128];

	(void)snprintf(script, sizeof(script), "test $(nproc) = %d", CPU_COUNT(set));
	job_run((struct sandbox_spec){0}, script, &job);
	assert_verdict(&job, SANDBOX_PASSED);
}

/* The launch itself keeps to one. */
static void a_job_may_use_the_processors_of_its_caller(void **state)
{
	cpu_set_t all, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	expect_processors(&all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	expect_processors(&one);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	expect_processors(&all);
	assert_int_equal(sched_getaffinity(0, sizeof(one), &one), 0);
	assert_true(CPU_EQUAL(&one, &all));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_job_passes_or_fails_by_its_status),
	cmocka_unit_test(a_user_gets_the_same_walls),
	cmocka_unit_test(wall_time_ends_a_job),
	cmocka_unit_test(silence_ends_a_job_but_output_keeps_it_alive),
	cmocka_unit_test(the_memory_limit_kills_and_says_how_much),
	cmocka_unit_test(files_in_tmp_are_memory),
	cmocka_unit_test(forks_past_the_task_limit_are_refused),
	cmocka_unit_test(a_users_task_limit_holds_without_groups),
	cmocka_unit_test(processor_time_is_counted_over_all_processes),
	cmocka_unit_test(bandwidth_is_held),
	cmocka_unit_test(output_is_cut_at_its_limit_to_the_byte),
	cmocka_unit_test(output_can_be_cut_and_the_job_go_on),
	cmocka_unit_test(output_can_be_held),
	cmocka_unit_test(a_job_whose_output_is_held_can_be_freed),
	cmocka_unit_test(open_files_are_limited),
	cmocka_unit_test(a_private_disk_is_limited),
	cmocka_unit_test(a_place_with_room_for_more_than_the_limit_is_refused),
	cmocka_unit_test(a_user_s_worktree_with_more_room_below_is_refused),
	cmocka_unit_test(a_directory_below_the_worktree_is_begun_in),
	cmocka_unit_test(a_full_disk_is_told),
	cmocka_unit_test(too_many_files_are_told),
	cmocka_unit_test(what_a_user_cannot_hold_is_refused),
	cmocka_unit_test(the_root_is_made_from_nothing),
	cmocka_unit_test(nothing_of_the_host_can_be_written),
	cmocka_unit_test(the_job_has_three_descriptors_and_no_input),
	cmocka_unit_test(the_environment_is_a_list),
	cmocka_unit_test(the_first_process_tells_nothing_about_the_caller),
	cmocka_unit_test(what_the_caller_ignores_the_job_does_not),
	cmocka_unit_test(a_launch_leaves_its_caller_as_he_was),
	cmocka_unit_test(a_job_may_use_the_processors_of_its_caller),
	cmocka_unit_test(a_user_with_subordinate_ids_gets_the_same_walls),
	cmocka_unit_test(loopback_works_and_nothing_else_does),
	cmocka_unit_test(a_network_made_ahead_serves_one_job),
	cmocka_unit_test(a_thread_stays_in_its_network),
	cmocka_unit_test(denied_calls_are_named_with_a_hint),
	cmocka_unit_test(nested_lets_a_suite_sandbox_itself),
	cmocka_unit_test(nothing_survives_its_job),
	cmocka_unit_test(a_missing_command_is_127_and_no_fault_of_the_box),
	cmocka_unit_test(a_worktree_is_written_as_its_owner),
	cmocka_unit_test(roots_worktree_gets_no_setuid_files),
	cmocka_unit_test(the_host_itself_is_no_worktree),
	cmocka_unit_test(the_host_itself_is_known_under_other_names),
	cmocka_unit_test(a_worktree_that_is_a_link_is_refused),
	cmocka_unit_test(a_worktree_of_somebody_else_is_named),
	cmocka_unit_test(what_is_not_there_is_the_specs_own_fault),
	cmocka_unit_test(binds_show_and_hide),
	cmocka_unit_test(a_frozen_job_stands_still_and_goes_on),
	cmocka_unit_test(a_frozen_job_can_be_killed),
	cmocka_unit_test(limits_change_while_it_runs),
	cmocka_unit_test(a_cancelled_job_says_by_whom),
};

int main(void)
{
	int failed;

	if (geteuid() != 0) {
		print_message("SKIP test_jobs: needs root\n");
		return 0;
	}
	job_groups_init("test-jobs");
	failed = cmocka_run_group_tests_name("by this process", tests, NULL, NULL);
	job_launcher = job_launcher_new(0);
	failed += cmocka_run_group_tests_name("by a launcher", tests, NULL, NULL);
	sandbox_launcher_free(job_launcher);
	job_launcher = job_launcher_new(2);
	failed += cmocka_run_group_tests_name("by a launcher who makes ready", tests, NULL, NULL);
	sandbox_launcher_free(job_launcher);
	return failed;
}
