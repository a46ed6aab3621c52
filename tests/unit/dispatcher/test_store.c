#include "dispatcher/store.h"

#include "dispatcher/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/scratch.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATE(s)   CUPEL__STATE__STATE_##s
#define VERDICT(v) CUPEL__VERDICT__VERDICT_##v
#define COMMIT     "0123456789012345678901234567890123456789"

static struct store *open_store(void)
{
	struct store *s = NULL;
	struct error err = {0};

	if (store_open(scratch_path, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static struct run_new event(const char *repository, const char *commit)
{
	return (struct run_new){SOURCE_EVENT, repository, "name",    "refs/heads/main",
				commit,       commit,     "subject", "author",
				NULL,         1000};
}

/* A run with one queued job. */
static uint64_t queued_job(struct store *s, uint64_t *run)
{
	Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;
	struct run_new r = event("/repo", COMMIT);
	struct job_new j = {.name = "test", .state = STATE(QUEUED), .spec = &spec};
	bool known;
	uint64_t job;

	spec.name = (char *)"test";
	r.source = SOURCE_SUBMIT;
	assert_int_equal(store_run_add(s, &r, run, &known), 0);
	j.run = *run;
	assert_int_equal(store_job_add(s, &j, &job), 0);
	assert_int_equal(store_run_open(s, *run, 1), 1);
	return job;
}

static int end_as(struct store *s, uint64_t job, uint32_t epoch, Cupel__Verdict verdict)
{
	const struct attempt_end e = {verdict, "because", false, NULL, 0, 2000};

	return store_attempt_end(s, job, epoch, &e);
}

/* --- opening
 * ---------------------------------------------------------------------------------------------- */

static void what_was_committed_is_there_after_reopening(void **state)
{
	owned(store) *s = open_store();
	owned(store) *again = NULL;
	Cupel__Run *shown;
	uint64_t run;

	(void)state;
	(void)queued_job(s, &run);
	assert_true(store_dirty(s));
	assert_int_equal(store_commit(s, NULL), 0);
	assert_false(store_dirty(s));
	store_free(give(s));
	again = open_store();
	shown = store_show(again, run);
	assert_non_null(shown);
	assert_string_equal(shown->repository, "/repo");
	assert_int_equal(shown->n_jobs, 1);
	assert_string_equal(shown->jobs[0]->name, "test");
	cupel__run__free_unpacked(shown, NULL);
}

static void what_was_not_committed_is_not(void **state)
{
	owned(store) *s = open_store();
	uint64_t run;

	(void)state;
	(void)queued_job(s, &run);
	store_rollback(s);
	assert_null(store_show(s, run));
}

static const char *const steps[] = {"create table a(x integer)", "create table b(y integer)",
				    "create table c(z integer)"};

static int64_t tables(struct sql *db)
{
	struct sql_query *q =
		sql_select(db, "select count(*) from sqlite_master where type = 'table'");
	int64_t n = sql_row(q) ? sql_int(q, 0) : -1;

	sql_end(q);
	return n;
}

static void every_version_is_brought_up(void **state)
{
	(void)state;
	for (size_t from = 0; from <= 3; from++) {
		owned(sql) *old = NULL;
		owned(sql) *new = NULL;
		char name[16];

		(void)snprintf(name, sizeof(name), "v%zu.db", from);
		if (from)
			assert_int_equal(sql_open(scratch_path, name, steps, from, &old, NULL), 0);
		sql_free(give(old));
		assert_int_equal(sql_open(scratch_path, name, steps, 3, &new, NULL), 0);
		assert_int_equal(tables(new), 3);
	}
}

static void a_step_that_fails_leaves_the_old_schema(void **state)
{
	const char *const broken[] = {steps[0],
				      "create table b(y integer); create table a(x integer)"};
	owned(sql) *db = NULL;
	struct error err = {0};

	(void)state;
	assert_true(sql_open(scratch_path, "x.db", broken, 2, &db, &err) < 0);
	assert_non_null(strstr(err.text, "schema step 2"));
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 1, &db, NULL), 0);
	assert_int_equal(tables(db), 1);
}

static void a_newer_schema_is_refused(void **state)
{
	owned(sql) *db = NULL;
	struct error err = {0};

	(void)state;
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 3, &db, NULL), 0);
	sql_free(give(db));
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 2, &db, &err), -EPROTO);
	assert_null(db);
	assert_non_null(strstr(err.text, "newer cupel-dispatcher"));
}

static void put_file(const char *name, const char *bytes, size_t length)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", scratch_path, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
}

static void what_is_no_database_is_refused_and_left_alone(void **state)
{
	const char text[] =
		"this is a letter to my grandmother, and long enough to be read as a header. "
		"It goes on for a while, since a header has a hundred bytes.";
	struct error err = {0};
	struct store *s = NULL;
	char path[128], back[sizeof(text)];
	FILE *f;

	(void)state;
	put_file("cupel.db", text, sizeof(text));
	assert_int_equal(store_open(scratch_path, &s, &err), -EBADMSG);
	assert_null(s);
	assert_non_null(strstr(err.text, "not a database"));
	(void)snprintf(path, sizeof(path), "%s/cupel.db", scratch_path);
	f = fopen(path, "re");
	assert_int_equal(fread(back, 1, sizeof(back), f), sizeof(back));
	(void)fclose(f);
	assert_memory_equal(back, text, sizeof(text));
}

static void another_programs_database_is_refused(void **state)
{
	owned(sql) *db = NULL;
	struct error err = {0};
	struct store *s = NULL;

	(void)state;
	assert_int_equal(sql_open(scratch_path, "cupel.db", steps, 1, &db, NULL), 0);
	assert_true(sql_exec(db, "pragma application_id = 42") >= 0);
	assert_int_equal(sql_commit(db, NULL), 0);
	sql_free(give(db));
	assert_int_equal(store_open(scratch_path, &s, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "another program's"));
}

static void a_damaged_file_is_refused(void **state)
{
	owned(store) *s = open_store();
	struct error err = {0};
	struct store *again = NULL;
	char path[128], junk[4096];
	uint64_t run;
	int fd;

	(void)state;
	(void)queued_job(s, &run);
	assert_int_equal(store_commit(s, NULL), 0);
	store_free(give(s));
	memset(junk, 0xa5, sizeof(junk));
	(void)snprintf(path, sizeof(path), "%s/cupel.db", scratch_path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	for (off_t page = 1; page < 6; page++)
		assert_int_equal(pwrite(fd, junk, sizeof(junk), page * 4096), sizeof(junk));
	(void)close(fd);
	assert_int_equal(store_open(scratch_path, &again, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "damaged"));
}

/* --- ending
 * -----------------------------------------------------------------------------------------------
 */

static void only_one_statement_ends_an_attempt(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);
	uint32_t epoch = store_attempt_add(s, job, "r1", 1);
	struct attempt_row row;

	(void)state;
	assert_int_equal(epoch, 1);
	assert_int_equal(end_as(s, job, epoch, VERDICT(LOST)), 1);
	assert_int_equal(end_as(s, job, epoch, VERDICT(PASSED)), 0);
	assert_int_equal(store_attempt(s, job, epoch, &row), 0);
	assert_int_equal(row.verdict, VERDICT(LOST));
}

static void an_end_with_another_epoch_counts_no_row(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);
	uint32_t first = store_attempt_add(s, job, "r1", 1), second;

	(void)state;
	assert_int_equal(end_as(s, job, first, VERDICT(LOST)), 1);
	assert_int_equal(store_job_again(s, job, STATE(ASSIGNED), true, "r1"), 1);
	second = store_attempt_add(s, job, "r2", 2);
	assert_int_equal(second, 2);
	assert_int_equal(end_as(s, job, first, VERDICT(PASSED)), 0);
	assert_int_equal(end_as(s, job, 3, VERDICT(PASSED)), 0);
	assert_int_equal(end_as(s, job, second, VERDICT(PASSED)), 1);
}

static void a_job_that_is_not_queued_gets_no_attempt(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);

	(void)state;
	assert_int_equal(store_attempt_add(s, job, "r1", 1), 1);
	assert_int_equal(store_attempt_add(s, job, "r2", 1), 0);
	assert_int_equal(store_attempt_add(s, job + 1, "r2", 1), 0);
}

static void phases_go_forward_only(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);
	uint32_t epoch = store_attempt_add(s, job, "r1", 1);
	Cupel__Limits granted = CUPEL__LIMITS__INIT;
	struct attempt_row row;

	(void)state;
	granted.wall_ms = 77;
	assert_int_equal(
		store_attempt_phase(s, job, epoch, STATE(ASSIGNED), STATE(PREPARING), &granted, 5),
		1);
	assert_int_equal(
		store_attempt_phase(s, job, epoch, STATE(ASSIGNED), STATE(RUNNING), NULL, 6), 0);
	assert_int_equal(
		store_attempt_phase(s, job, epoch, STATE(PREPARING), STATE(RUNNING), NULL, 7), 1);
	assert_int_equal(store_attempt(s, job, epoch, &row), 0);
	assert_int_equal(row.wall_ms, 77);
	assert_int_equal(row.started_at_ms, 7);
}

static void what_came_late_is_kept_beside_the_answer(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);
	uint32_t epoch = store_attempt_add(s, job, "r1", 1);
	Cupel__Run *shown;

	(void)state;
	assert_int_equal(store_attempt_late(s, job, epoch, "passed: too early"), 0);
	assert_int_equal(end_as(s, job, epoch, VERDICT(LOST)), 1);
	assert_int_equal(store_attempt_late(s, job, epoch, "passed: fine"), 1);
	assert_int_equal(store_attempt_late(s, job, epoch, "passed: fine"), 0);
	shown = store_show(s, run);
	assert_string_equal(shown->jobs[0]->attempts[0]->late_result, "passed: fine");
	assert_int_equal(shown->jobs[0]->attempts[0]->verdict, VERDICT(LOST));
	cupel__run__free_unpacked(shown, NULL);
}

static void attempt_of(struct store *s, uint64_t job, int64_t from_ms, int64_t end_ms)
{
	uint32_t epoch = store_attempt_add(s, job, "r1", from_ms);
	struct attempt_end e = {.verdict = VERDICT(FAILED), .reason = "so", .now_ms = end_ms};

	assert_true(epoch);
	if (!end_ms)
		return;
	assert_int_equal(store_attempt_end(s, job, epoch, &e), 1);
	assert_int_equal(store_job_again(s, job, STATE(ASSIGNED), false, ""), 1);
}

static void a_run_took_the_time_of_its_attempts_and_no_wait(void **state)
{
	owned(store) *s = open_store();
	struct job_new other = {.name = "other", .state = STATE(QUEUED)};
	uint64_t run, job = queued_job(s, &run), second;

	(void)state;
	assert_int_equal(store_run_took(s, run, 5000), 0);
	attempt_of(s, job, 1000, 1500);
	other.run = run;
	assert_int_equal(store_job_add(s, &other, &second), 0);
	attempt_of(s, second, 1400, 1700); /* at the same time, in part */
	assert_int_equal(store_run_took(s, run, 999999), 700);
	attempt_of(s, second, 1100, 1200); /* wholly */
	assert_int_equal(store_run_took(s, run, 999999), 700);
	attempt_of(s, job, 500000, 500100); /* somebody retried it */
	attempt_of(s, job, 600000, 0);      /* and it runs */
	assert_int_equal(store_run_took(s, run, 600007), 807);
	assert_int_equal(store_run_took(s, run, 1), 800); /* the clock was set back */
}

static void the_past_is_counted_since_the_last_retry(void **state)
{
	owned(store) *s = open_store();
	uint64_t run, job = queued_job(s, &run);
	struct past past;

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint32_t epoch = store_attempt_add(s, job, i ? "r2" : "r1", 1);

		assert_int_equal(end_as(s, job, epoch, VERDICT(LOST)), 1);
		assert_int_equal(store_job_again(s, job, STATE(ASSIGNED), true, ""), 1);
	}
	assert_int_equal(store_past(s, job, true, &past), 0);
	assert_int_equal(past.lost_runners, 2);
	assert_int_equal(store_job_end(s, job, STATE(QUEUED), VERDICT(ERRORED), "poison", false),
			 1);
	assert_int_equal(store_job_retry(s, job, STATE(QUEUED)), 1);
	assert_int_equal(store_past(s, job, true, &past), 0);
	assert_int_equal(past.lost_runners, 0);
	assert_int_equal(store_past(s, job, false, &past), 0);
	assert_int_equal(past.lost, 2);
}

/* --- runs
 * -------------------------------------------------------------------------------------------------
 */

static void the_same_commit_is_one_run(void **state)
{
	owned(store) *s = open_store();
	struct run_new r = event("/repo", COMMIT), other = event("/other", COMMIT);
	uint64_t first, second;
	bool known;

	(void)state;
	assert_int_equal(store_run_add(s, &r, &first, &known), 0);
	assert_false(known);
	assert_int_equal(store_run_add(s, &r, &second, &known), 0);
	assert_true(known && first == second);
	assert_int_equal(store_run_add(s, &other, &second, &known), 0);
	assert_true(!known && first != second);
}

static void the_same_delivery_is_one_run(void **state)
{
	owned(store) *s = open_store();
	struct run_new r = event("/repo", "");
	uint64_t first, second;
	bool known;

	(void)state;
	r.source = SOURCE_SUBMIT;
	assert_int_equal(store_run_add(s, &r, &first, &known), 0);
	assert_int_equal(store_run_add(s, &r, &second, &known), 0);
	assert_true(!known && first != second);
	r.delivery = "d-1";
	assert_int_equal(store_run_add(s, &r, &first, &known), 0);
	assert_int_equal(store_run_add(s, &r, &second, &known), 0);
	assert_true(known && first == second);
}

static void lists_are_newest_first_and_paged(void **state)
{
	owned(store) *s = open_store();
	Cupel__List wish = CUPEL__LIST__INIT;
	Cupel__Runs *runs;
	uint64_t last = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct run_new r = event(i % 2 ? "/odd" : "/even", "");
		bool known;

		r.source = SOURCE_SUBMIT;
		assert_int_equal(store_run_add(s, &r, &last, &known), 0);
	}
	wish.limit = 2;
	runs = store_list(s, &wish);
	assert_int_equal(runs->n_runs, 2);
	assert_int_equal(runs->runs[0]->id, last);
	wish.before = runs->runs[1]->id;
	cupel__runs__free_unpacked(runs, NULL);
	wish.limit = 50;
	wish.repository = (char *)"/even";
	runs = store_list(s, &wish);
	assert_int_equal(runs->n_runs, 2);
	assert_int_equal(runs->runs[0]->id, last - 2);
	cupel__runs__free_unpacked(runs, NULL);
	wish.live = true;
	runs = store_list(s, &wish);
	assert_int_equal(runs->n_runs, 2);
	cupel__runs__free_unpacked(runs, NULL);
}

#define MANY_RUNS 20000
#define LISTS     100

/* Microseconds of the processor that so many lists take. */
static int64_t cost_of(struct store *s, const char *repository, const char *ref, size_t expected)
{
	Cupel__List wish = CUPEL__LIST__INIT;
	struct timespec from, to;

	wish.repository = (char *)repository;
	wish.ref = (char *)ref;
	wish.limit = 1;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < LISTS; i++) {
		Cupel__Runs *runs = store_list(s, &wish);

		assert_int_equal(runs->n_runs, expected);
		cupel__runs__free_unpacked(runs, NULL);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static void a_list_of_what_is_not_there_costs_nothing(void **state)
{
	owned(store) *s = open_store();
	struct run_new r = event("/repo", "");
	uint64_t run;
	int64_t newest;
	bool known;

	(void)state;
	r.source = SOURCE_SUBMIT;
	for (int i = 0; i < MANY_RUNS; i++)
		assert_int_equal(store_run_add(s, &r, &run, &known), 0);
	assert_int_equal(store_commit(s, NULL), 0);
	newest = cost_of(s, "", "", 1);
	assert_true(cost_of(s, "", "refs/heads/none", 0) < 5 * newest);
	assert_true(cost_of(s, "/repo", "refs/heads/none", 0) < 5 * newest);
	assert_true(cost_of(s, "/repo", "", 1) < 5 * newest);
}

/* Adds a job to the run, and so many attempts to it. */
static void tried(struct store *s, uint64_t run, unsigned number, unsigned times,
		  const char *reason)
{
	const struct attempt_end end = {VERDICT(LOST), reason, false, NULL, 0, 2000};
	char name[16];
	struct job_new j = {.run = run, .name = name, .state = STATE(QUEUED)};
	uint64_t job;

	(void)snprintf(name, sizeof(name), "job%u", number);
	assert_int_equal(store_job_add(s, &j, &job), 0);
	for (uint32_t epoch = 1; epoch <= times; epoch++) {
		assert_int_equal(store_attempt_add(s, job, "box", 1000), epoch);
		assert_int_equal(store_attempt_end(s, job, epoch, &end), 1);
		assert_int_equal(store_job_again(s, job, STATE(ASSIGNED), false, ""), 1);
	}
}

static void the_newest_attempts_are_shown(void **state)
{
	owned(store) *s = open_store();
	struct run_new r = event("/repo", COMMIT);
	Cupel__Run *shown;
	uint64_t run;
	bool known;

	(void)state;
	assert_int_equal(store_run_add(s, &r, &run, &known), 0);
	tried(s, run, 0, 200, "gone");
	shown = store_show(s, run);
	assert_int_equal(shown->jobs[0]->n_attempts, 50);
	assert_int_equal(shown->jobs[0]->attempts[0]->epoch, 151);
	assert_int_equal(shown->jobs[0]->attempts[49]->epoch, 200);
	cupel__run__free_unpacked(shown, NULL);
}

static void a_run_that_is_larger_than_a_frame_keeps_the_newest_attempts(void **state)
{
	owned(store) *s = open_store();
	struct run_new r = event("/repo", COMMIT);
	char reason[1000];
	Cupel__Run *shown;
	uint64_t run;
	size_t size;
	bool known;

	(void)state;
	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	assert_int_equal(store_run_add(s, &r, &run, &known), 0);
	for (unsigned i = 0; i < 100; i++)
		tried(s, run, i, 20, reason);
	shown = store_show(s, run);
	size = cupel__run__get_packed_size(shown);
	assert_true(size < 1000000 && size > 600000);
	for (size_t i = 0; i < 100; i++) {
		const Cupel__Job *j = shown->jobs[i];

		assert_true(j->n_attempts > 0);
		assert_int_equal(j->attempts[j->n_attempts - 1]->epoch, 20);
	}
	cupel__run__free_unpacked(shown, NULL);
}

/* --- crashes
 * ---------------------------------------------------------------------------------------------- */

/* Does so many statements of a job's whole life, commits where the dispatcher would, says so on the
 * pipe after each commit, then dies. */
static void live_and_die(int said, int statements)
{
	static struct store *s; /* never freed: it dies */
	uint64_t run, job;
	uint32_t epoch;
	struct run_new r = event("/repo", COMMIT);
	Cupel__JobSpec spec = CUPEL__JOB_SPEC__INIT;
	struct job_new j = {.name = "test", .state = STATE(QUEUED), .spec = &spec};
	bool known;

	s = open_store();
#define STEP(statement)                                                                            \
	do {                                                                                       \
		(void)(statement);                                                                 \
		if (--statements == 0)                                                             \
			(void)kill(getpid(), SIGKILL);                                             \
	} while (0)
#define COMMITTED(letter)                                                                          \
	do {                                                                                       \
		STEP(store_commit(s, NULL));                                                       \
		(void)!write(said, letter, 1);                                                     \
	} while (0)
	STEP(store_run_add(s, &r, &run, &known));
	j.run = run;
	STEP(store_job_add(s, &j, &job));
	STEP(store_run_open(s, run, 1));
	COMMITTED("r");
	STEP(epoch = store_attempt_add(s, job, "r1", 1));
	COMMITTED("a");
	STEP(end_as(s, job, epoch, VERDICT(PASSED)));
	STEP(store_job_end(s, job, STATE(ASSIGNED), VERDICT(PASSED), "fine", false));
	STEP(store_run_open(s, run, -1));
	STEP(store_run_end(s, run, VERDICT(PASSED), "fine", false, 3));
	COMMITTED("e");
	(void)kill(getpid(), SIGKILL);
}

static void check_survivors(const char *said)
{
	owned(store) *s = open_store();
	Cupel__Run *run = store_show(s, 1);
	const Cupel__Job *job;

	if (!run) {
		assert_int_equal(strlen(said), 0); /* nothing that was said is lost */
		return;
	}
	job = run->jobs[0]; /* a run is never there without its job */
	if (strchr(said, 'a'))
		assert_int_equal(job->n_attempts, 1);
	if (strchr(said, 'e'))
		assert_int_equal(run->verdict, VERDICT(PASSED));
	/* All of an end, or nothing of it. */
	if (job->n_attempts && job->attempts[0]->verdict)
		assert_true(job->verdict && run->verdict);
	if (run->verdict)
		assert_int_equal(job->attempts[0]->verdict, VERDICT(PASSED));
	cupel__run__free_unpacked(run, NULL);
}

static void a_crash_between_any_two_statements_loses_nothing_said(void **state)
{
	for (int statements = 1; statements <= 12; statements++) {
		int ends[2], status;
		char said[8] = "";
		pid_t child;

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		child = fork();
		if (child == 0) {
			live_and_die(ends[1], statements);
			_exit(1);
		}
		(void)close(ends[1]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(read(ends[0], said, sizeof(said) - 1) >= 0);
		(void)close(ends[0]);
		check_survivors(said);
		assert_int_equal(scratch_remove(state), 0);
		assert_int_equal(scratch_make(state), 0);
	}
}

/* Somebody with a shell on the database: holds it until the other thread waits for it. */
struct shell {
	struct sql *db;
	pid_t other;
};

static bool sleeps(pid_t thread)
{
	char path[64], line[256] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	f = fopen(path, "re");
	if (!f)
		return false;
	(void)fgets(line, sizeof(line), f);
	(void)fclose(f);
	return strstr(line, ") S ") != NULL;
}

static void *hold_until_awaited(void *argument)
{
	struct shell *shell = argument;

	while (!sleeps(shell->other)) /* at the latest when it waits for this thread */
		continue;
	(void)sql_commit(shell->db, NULL);
	return NULL;
}

static void another_connection_is_waited_for(void **state)
{
	owned(sql) *db = NULL;
	owned(sql) *other = NULL;
	struct shell shell = {.other = gettid()};
	pthread_t thread;
	int rc;

	(void)state;
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 3, &db, NULL), 0);
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 3, &other, NULL), 0);
	assert_int_equal(sql_exec(other, "insert into a values(1)"), 1); /* locks it */
	shell.db = other;
	assert_int_equal(pthread_create(&thread, NULL, hold_until_awaited, &shell), 0);
	rc = sql_exec(db, "insert into a values(2)");
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(rc, 1);
	assert_int_equal(sql_commit(db, NULL), 0);
}

static void a_full_disk_undoes_the_whole_turn(void **state)
{
	owned(sql) *db = NULL;
	struct error err = {0};
	int rc = 0;

	(void)state;
	assert_int_equal(sql_open(scratch_path, "x.db", steps, 3, &db, NULL), 0);
	assert_true(sql_exec(db, "insert into a values(1)") == 1);
	assert_int_equal(sql_commit(db, NULL), 0);
	{
		struct sql_query *q = sql_select(db, "pragma max_page_count = 20");

		assert_true(sql_row(q));
		sql_end(q);
	}
	for (int i = 0; i < 100 && rc >= 0; i++)
		rc = sql_exec(db, "insert into a values(zeroblob(3000))");
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(sql_exec(db, "insert into a values(2)"), -ENOSPC); /* it sticks */
	assert_int_equal(sql_commit(db, &err), -ENOSPC);
	assert_int_equal(sql_exec(db, "insert into b values(1)"), 1);
	assert_int_equal(sql_commit(db, NULL), 0);
	{
		struct sql_query *q = sql_select(db, "select count(*) from a");

		assert_true(sql_row(q) && sql_int(q, 0) == 1);
		sql_end(q);
	}
}

/* --- tokens and runners
 * ----------------------------------------------------------------------------------- */

static void a_token_is_found_until_it_is_dropped(void **state)
{
	owned(store) *s = open_store();
	const uint8_t secret[LINK_SECRET] = "0123456789abcdef0123456789abcde";
	uint8_t back[LINK_SECRET];
	Cupel__Role role;

	(void)state;
	assert_int_equal(store_token_put(s, "box1", CUPEL__ROLE__ROLE_RUNNER, secret, 1), 1);
	assert_true(store_token_find(s, "box1", back, &role));
	assert_memory_equal(back, secret, LINK_SECRET);
	assert_int_equal(role, CUPEL__ROLE__ROLE_RUNNER);
	assert_false(store_token_find(s, "box2", back, &role));
	assert_int_equal(store_token_drop(s, "box1"), 1);
	assert_false(store_token_find(s, "box1", back, &role));
}

#define test(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(what_was_committed_is_there_after_reopening),
		test(what_was_not_committed_is_not),
		test(every_version_is_brought_up),
		test(a_step_that_fails_leaves_the_old_schema),
		test(a_newer_schema_is_refused),
		test(what_is_no_database_is_refused_and_left_alone),
		test(another_programs_database_is_refused),
		test(a_damaged_file_is_refused),
		test(only_one_statement_ends_an_attempt),
		test(an_end_with_another_epoch_counts_no_row),
		test(a_job_that_is_not_queued_gets_no_attempt),
		test(phases_go_forward_only),
		test(what_came_late_is_kept_beside_the_answer),
		test(a_run_took_the_time_of_its_attempts_and_no_wait),
		test(the_past_is_counted_since_the_last_retry),
		test(the_same_commit_is_one_run),
		test(the_same_delivery_is_one_run),
		test(lists_are_newest_first_and_paged),
		test(a_list_of_what_is_not_there_costs_nothing),
		test(the_newest_attempts_are_shown),
		test(a_run_that_is_larger_than_a_frame_keeps_the_newest_attempts),
		test(a_crash_between_any_two_statements_loses_nothing_said),
		test(another_connection_is_waited_for),
		test(a_full_disk_undoes_the_whole_turn),
		test(a_token_is_found_until_it_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
