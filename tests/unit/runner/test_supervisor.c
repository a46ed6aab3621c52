/* not under valgrind: it lacks the mount and pidfd calls */
/* One attempt from its ticket to its result, with a real repository and a real sandbox. */
#include "runner/supervisor.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "proto/digest.h"
#include "runner/control.h"
#include "runner/git.h"
#include "runner/launch.h"
#include "sandbox/sandbox.h"
#include "tests/unit/runner/repository.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DEADLINE 20000 /* ms */

struct bench {
	struct lab lab;
	char repository[96], mirrors[96], group[48];
	Cupel__Attempt id;
	Cupel__Assign assign;
	Cupel__JobSpec spec;
	Cupel__Limits granted;
	struct ticket ticket;
	struct lease lease;
	int work, dir, control;
	pid_t pid;
	struct control_report last;
	struct answer answer;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	lab_open(&b->lab);
	(void)lab_run(&b->lab, "mkdir work mirrors; git init -q -b main r; cd r; echo hello > a\n"
			       "printf 'jobs: {t: {run: cat a}}' > .cupel.yml; git add .\n"
			       "git commit -q -m it");
	(void)snprintf(b->repository, sizeof(b->repository), "%s/r", b->lab.path);
	(void)snprintf(b->mirrors, sizeof(b->mirrors), "%s/mirrors", b->lab.path);
	(void)snprintf(b->group, sizeof(b->group), "unit-%d", (int)getpid());
	cupel__attempt__init(&b->id);
	cupel__assign__init(&b->assign);
	cupel__job_spec__init(&b->spec);
	cupel__limits__init(&b->granted);
	b->id.job = 7;
	b->id.epoch = 1;
	b->assign.attempt = &b->id;
	b->assign.run = 3;
	b->assign.repository = b->repository;
	b->assign.revision = (char *)"main";
	b->assign.spec = &b->spec;
	b->spec.name = (char *)"t";
	b->granted.wall_ms = 15000;
	b->ticket = (struct ticket){.assign = &b->assign, .granted = &b->granted};
	b->work = openat(b->lab.dir, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->control = b->dir = -1;
	*state = b;
	return git_start(NULL);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	if (b->pid > 0) {
		(void)kill(b->pid, SIGKILL);
		(void)waitpid(b->pid, NULL, 0);
	}
	answer_done(&b->answer);
	git_stop();
	lab_close(&b->lab);
	(void)close(b->control);
	(void)close(b->dir);
	(void)close(b->work);
	free(b);
	return 0;
}

/* Starts the supervisor of a job that runs `script`; NULL: of a plan. False: told and skipped. */
static void start(struct bench *b, const char *script)
{
	struct supervisor_spec spec = {.ticket = &b->ticket,
				       .work = b->work,
				       .name = "7.1",
				       .cgroup = b->group,
				       .mirrors = b->mirrors,
				       .lease = b->lease};
	struct error err = {0};

	b->assign.kind = script ? CUPEL__KIND__KIND_JOB : CUPEL__KIND__KIND_PLAN;
	b->spec.run = (char *)(script ? script : "");
	launch_ids((uint32_t)getpid(), 0, &spec.id_base, &spec.id_count);
	b->dir = spool_create(b->lab.dir, "7.1", &b->ticket, &err);
	spec.dir = b->dir;
	spec.listener = b->dir < 0 ? b->dir : control_listen(b->dir, &err);
	b->control = spec.listener < 0 ? -1 : control_connect(b->dir, &err);
	b->pid = b->control < 0 ? -1 : supervisor_start(&spec, &err);
	if (b->pid < 0)
		fail_msg("%s", err.text);
	(void)close(spec.listener);
}

/* Reads reports until one fits; false when the supervisor is gone first. */
static bool wait_for(struct bench *b, bool (*fits)(const struct control_report *r))
{
	int64_t deadline = clock_boot_ms() + DEADLINE;

	while (clock_boot_ms() < deadline) {
		struct pollfd fd = {.fd = b->control, .events = POLLIN};
		int rc;

		(void)poll(&fd, 1, 100);
		while ((rc = control_receive_report(b->control, &b->last)) == 1)
			if (fits(&b->last))
				return true;
		if (rc < 0)
			return false;
	}
	fail_msg("no such report in time");
	return false;
}

static bool never(const struct control_report *r)
{
	(void)r;
	return false;
}

static bool is_running(const struct control_report *r)
{
	return r->state == CUPEL__STATE__STATE_RUNNING;
}

static bool has_output(const struct control_report *r)
{
	return r->log_length > 0;
}

static const Cupel__Result *finish(struct bench *b)
{
	struct error err = {0};
	int status;

	(void)wait_for(b, never);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (spool_read_answer(b->dir, &b->answer, &err) < 0)
		fail_msg("%s", err.text);
	return (const Cupel__Result *)b->answer.message;
}

static void assert_log(struct bench *b, const Cupel__Result *r, const void *bytes, size_t length)
{
	owned(digest) *d = digest_new();
	owned_buffer log = {0};
	uint8_t sum[DIGEST_SIZE];

	assert_int_equal(fd_read_file(b->dir, "log", 64 << 20, &log), 0);
	assert_int_equal(log.length, length);
	assert_memory_equal(log.data, bytes, length);
	assert_int_equal(r->log_length, length);
	assert_int_equal(digest_add(d, bytes, length), 0);
	assert_int_equal(digest_get(d, sum), 0);
	assert_int_equal(r->log_digest.len, DIGEST_SIZE);
	assert_memory_equal(r->log_digest.data, sum, DIGEST_SIZE);
}

static void assert_clean(struct bench *b)
{
	assert_string_equal(lab_run(&b->lab, "ls -A work"), "");
	assert_string_equal(
		lab_run(&b->lab, "find /sys/fs/cgroup -name '%s' 2>/dev/null || :", b->group), "");
}

static void a_job_runs_and_leaves_its_result(void **state)
{
	struct bench *b = *state;
	const Cupel__Result *r;

	start(b, "cat a; printf 'x:\\0y'; echo \"$CUPEL_RUN $CUPEL_JOB\" >&2; exit 3");
	r = finish(b);
	if (r->verdict != CUPEL__VERDICT__VERDICT_FAILED)
		fail_msg("%s: %s", verdict_word(r->verdict), r->reason);
	assert_int_equal(r->exit_code, 3);
	assert_log(b, r, "hello\nx:\0y3 t\n", 14);
	assert_true(b->last.released && b->last.answered);
	assert_clean(b);
}

static void a_plan_is_answered_by_its_jobs(void **state)
{
	struct bench *b = *state;
	const Cupel__Plan *plan;

	start(b, NULL);
	plan = (const Cupel__Plan *)finish(b);
	assert_int_equal(b->answer.type, FRAME_PLAN);
	assert_int_equal(plan->n_jobs, 1);
	assert_string_equal(plan->jobs[0]->run, "cat a");
	assert_string_equal(plan->subject, "it");
}

static void a_bad_job_file_is_nobodys_infrastructure(void **state)
{
	struct bench *b = *state;
	const Cupel__Result *r;

	(void)lab_run(&b->lab, "cd r; echo 'jobs: x' > .cupel.yml; git commit -q -a -m bad");
	start(b, NULL);
	r = finish(b);
	assert_int_equal(b->answer.type, FRAME_RESULT);
	assert_int_equal(r->verdict, CUPEL__VERDICT__VERDICT_ERRORED);
	assert_false(r->infrastructure);
	assert_string_equal(r->reason,
			    ".cupel.yml:1:7: 'jobs' must be a map with at least one job");
}

static void a_commit_that_cannot_be_checked_out_is_told(void **state)
{
	struct bench *b = *state;
	const Cupel__Result *r;

	(void)lab_run(&b->lab,
		      "cd r; id=$(git rev-parse main:a)\n"
		      "f=.git/objects/$(echo $id | sed 's,^..,&/,'); chmod +w $f; echo no > $f");
	start(b, "true");
	r = finish(b);
	assert_int_equal(r->verdict, CUPEL__VERDICT__VERDICT_ERRORED);
	assert_non_null(strstr(r->reason, "can't be checked out: 'a'"));
	assert_clean(b);
}

static void a_cancelled_job_ends_as_cancelled(void **state)
{
	struct bench *b = *state;
	struct control_order order = {.version = CONTROL_VERSION, .kind = CONTROL_CANCEL};
	const Cupel__Result *r;

	start(b, "echo there; exec sleep infinity");
	assert_true(wait_for(b, has_output));
	(void)strcpy(order.reason, "somebody said so");
	assert_int_equal(control_send_order(b->control, &order), 0);
	r = finish(b);
	assert_int_equal(r->verdict, CUPEL__VERDICT__VERDICT_CANCELLED);
	assert_non_null(strstr(r->reason, "somebody said so"));
	assert_log(b, r, "there\n", 6);
	assert_clean(b);
}

static void a_lease_that_nobody_renews_ends_the_job(void **state)
{
	struct bench *b = *state;
	int64_t began = clock_boot_ms();
	const Cupel__Result *r;

	b->lease = (struct lease){began, 600};
	start(b, "exec sleep infinity");
	r = finish(b);
	assert_true(clock_boot_ms() - began >= 600);
	assert_int_equal(r->verdict, CUPEL__VERDICT__VERDICT_ERRORED);
	assert_true(r->infrastructure);
	assert_non_null(strstr(r->reason, "lease"));
	assert_clean(b);
}

static void a_new_main_process_is_told_where_things_stand(void **state)
{
	struct bench *b = *state;
	struct control_order order = {.version = CONTROL_VERSION, .kind = CONTROL_ABORT};
	const Cupel__Result *r;

	start(b, "echo there; exec sleep infinity");
	assert_true(wait_for(b, has_output));
	(void)close(b->control); /* as if the main process had died */
	b->control = control_connect(b->dir, NULL);
	assert_true(b->control >= 0);
	assert_true(wait_for(b, is_running));
	assert_int_equal(b->last.log_length, 6);
	assert_int_equal(control_send_order(b->control, &order), 0);
	r = finish(b);
	assert_int_equal(r->verdict, CUPEL__VERDICT__VERDICT_ERRORED);
	assert_true(r->infrastructure);
}

static void a_killed_supervisor_takes_its_job_with_it(void **state)
{
	struct bench *b = *state;
	struct error err = {0};
	int status;
	pid_t cleaner;

	start(b, "echo there; exec sleep infinity");
	assert_true(wait_for(b, has_output));
	assert_int_equal(kill(b->pid, SIGKILL), 0);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	assert_false(wait_for(b, never));
	assert_int_equal(control_connect(b->dir, NULL), -ECONNREFUSED);
	assert_int_equal(spool_read_answer(b->dir, &b->answer, &err), -ENOENT);
	cleaner = supervisor_clean(b->work, "7.1", b->group, NULL);
	assert_int_equal(waitpid(cleaner, &status, 0), cleaner);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_clean(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_runs_and_leaves_its_result),
		TEST(a_plan_is_answered_by_its_jobs),
		TEST(a_bad_job_file_is_nobodys_infrastructure),
		TEST(a_commit_that_cannot_be_checked_out_is_told),
		TEST(a_cancelled_job_ends_as_cancelled),
		TEST(a_lease_that_nobody_renews_ends_the_job),
		TEST(a_new_main_process_is_told_where_things_stand),
		TEST(a_killed_supervisor_takes_its_job_with_it),
	};

	if (geteuid() != 0) {
		(void)printf("SKIP test_supervisor: needs root for the ids of its jobs\n");
		return 0;
	}
	(void)sandbox_can();
	sandbox_prepare();
	if (supervisor_prepare(NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
