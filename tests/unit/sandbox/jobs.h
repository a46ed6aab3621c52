/* jobs.h - for tests: runs a shell script behind walls, as root or as nobody in particular. */
#pragma once

#include "base/buffer.h"
#include "sandbox/sandbox.h"

#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A uid that no distribution gives to anybody. */
#define TEST_UID 54321

/* A name of control groups that no other run of the tests on this box has; job_groups_init() first.
 */
static char job_groups[64];

static inline void job_groups_init(const char *test)
{
	(void)snprintf(job_groups, sizeof(job_groups), "%s-%d", test, (int)getpid());
}

static inline int job_group_seen(const char *path, const struct stat *st, int type,
				 struct FTW *where)
{
	(void)st;
	return type == FTW_D && strcmp(path + where->base, job_groups) == 0;
}

static inline bool job_groups_are_left(void)
{
	return nftw("/sys/fs/cgroup", job_group_seen, 16, FTW_PHYS) == 1;
}

struct job {
	struct sandbox_outcome outcome;
	char output[16384]; /* stdout and stderr, cut */
	size_t length;
};

static inline void job_output(void *context, int stream, const void *bytes, size_t length)
{
	struct job *job = context;
	size_t room = sizeof(job->output) - 1 - job->length;

	(void)stream;
	length = length < room ? length : room;
	memcpy(job->output + job->length, bytes, length);
	job->length += length;
}

/* Who starts the jobs: this process, or a launcher. */
static struct sandbox_launcher *job_launcher;

/* A launcher's program stands beside the folder of the tests. */
static inline struct sandbox_launcher *job_launcher_new(unsigned ready)
{
	char program[4096] = "";
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 64);
	const struct sandbox_launcher_options options = {
		.program = program, .networks = 2, .ready = ready};
	struct sandbox_launcher *l = NULL;
	struct error err = {0};
	char *folder = n > 0 ? strstr(program, "/unit/") : NULL;

	if (folder)
		(void)strcpy(folder, "/bin/cupel-sandbox");
	if (sandbox_launcher_new(&options, &l, &err) == 0)
		return l;
	(void)fprintf(stderr, "%s\n", err.text);
	exit(1); /* the same tests without one would pass */
}

/* `spec` with `sh -c script` as its command. */
static inline void job_run(struct sandbox_spec spec, const char *script, struct job *job)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	memset(job, 0, sizeof(*job));
	spec.argv = argv;
	spec.launcher = job_launcher;
	spec.output = job_output;
	spec.context = job;
	if (!spec.limits.wall_ms)
		spec.limits.wall_ms = 30000;
	(void)sandbox_run(&spec, &job->outcome, NULL); /* the outcome tells */
}

/* This process becomes a user without any right. */
static inline void job_become_user(void)
{
	/* A change of user makes a process secret, and its children with it. */
	if (setgroups(0, NULL) < 0 || setresgid(TEST_UID, TEST_UID, TEST_UID) < 0 ||
	    setresuid(TEST_UID, TEST_UID, TEST_UID) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		_exit(1);
}

/* The same by such a user, in a child process. */
static inline void job_run_as_user(struct sandbox_spec spec, const char *script, struct job *job)
{
	struct job *shared =
		mmap(NULL, sizeof(*job), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (pid == 0) {
		job_become_user();
		if (job_launcher)
			job_launcher = job_launcher_new(0);
		job_run(spec, script, shared);
		sandbox_launcher_free(job_launcher);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	memcpy(job, shared, sizeof(*job));
	(void)munmap(shared, sizeof(*job));
}

#define assert_says(job, part)                                                                     \
	do {                                                                                       \
		if (!strstr((job)->output, part))                                                  \
			fail_msg("'%s' isn't in the output: %s (%s)", part, (job)->output,         \
				 (job)->outcome.reason);                                           \
	} while (0)

#define assert_verdict(job, wanted)                                                                \
	do {                                                                                       \
		if ((job)->outcome.verdict != (wanted))                                            \
			fail_msg("verdict %d: %s; %s", (job)->outcome.verdict,                     \
				 (job)->outcome.reason, (job)->output);                            \
	} while (0)
