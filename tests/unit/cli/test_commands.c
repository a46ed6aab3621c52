#include "rig.h"

#include "base/clock.h"

#include <sys/stat.h>

#define STRANGER 54321 /* a uid that nobody has */

/* --- what the fake dispatcher knows
 * ------------------------------------------------------------------- */

static Cupel__Run make_run(Cupel__Verdict verdict)
{
	Cupel__Run run = CUPEL__RUN__INIT;

	run.id = 7;
	run.repository = (char *)"/srv/sample.git";
	run.name = (char *)"sample";
	run.ref = (char *)"refs/heads/main";
	run.commit = (char *)"0123456789012345678901234567890123456789";
	run.subject = (char *)"a subject \xe2\x80\xaein disguise";
	run.verdict = verdict;
	run.reason = (char *)(verdict ? "test: it was so" : "");
	run.created_at_ms = (uint64_t)clock_wall_ms() - 65000;
	run.ended_at_ms = verdict ? run.created_at_ms + 60000 : 0;
	run.took_ms = 1500; /* it waited for the rest */
	return run;
}

static void send_run(struct link *link, Cupel__Verdict verdict)
{
	Cupel__Run run = make_run(verdict);
	Cupel__Job plan = CUPEL__JOB__INIT, job = CUPEL__JOB__INIT;
	Cupel__AttemptInfo attempt = CUPEL__ATTEMPT_INFO__INIT;
	Cupel__AttemptInfo *attempts[] = {&attempt};
	Cupel__Job *jobs[] = {&plan, &job};
	Cupel__Usage usage = CUPEL__USAGE__INIT;
	Cupel__Limits granted = CUPEL__LIMITS__INIT;

	plan.id = 1;
	plan.name = (char *)"plan";
	plan.kind = CUPEL__KIND__KIND_PLAN;
	plan.state = CUPEL__STATE__STATE_ENDED;
	plan.verdict = CUPEL__VERDICT__VERDICT_PASSED;
	attempt.epoch = 1;
	attempt.runner = (char *)"box";
	attempt.state = verdict ? CUPEL__STATE__STATE_ENDED : CUPEL__STATE__STATE_RUNNING;
	attempt.verdict = verdict;
	attempt.reason = (char *)(verdict ? "it was so" : "");
	usage.wall_ms = 1500;
	usage.tasks_peak = 3;
	attempt.usage = &usage;
	granted.memory = (uint64_t)1 << 30;
	granted.tasks = 512;
	attempt.granted = &granted;
	job.id = 2;
	job.name = (char *)"test";
	job.state = attempt.state;
	job.verdict = verdict;
	job.n_attempts = 1;
	job.attempts = attempts;
	run.n_jobs = 2;
	run.jobs = jobs;
	assert_int_equal(link_send(link, FRAME_RUN, &run.base), 0);
}

static void send_done(struct link *link, const char *text)
{
	Cupel__Done done = CUPEL__DONE__INIT;

	done.text = (char *)text;
	assert_int_equal(link_send(link, FRAME_DONE, &done.base), 0);
}

/* --- looking
 * -------------------------------------------------------------------------------------------- */

static void answer_list(struct rig *r, struct link *link, const struct frame *frame)
{
	Cupel__Runs runs = CUPEL__RUNS__INIT;
	Cupel__Run run = make_run(CUPEL__VERDICT__VERDICT_KILLED);
	Cupel__Run *list[] = {&run};

	(void)r;
	assert_int_equal(frame->type, FRAME_LIST);
	runs.n_runs = 1;
	runs.runs = list;
	assert_int_equal(link_send(link, FRAME_RUNS, &runs.base), 0);
}

static void list_is_a_table_without_what_strangers_hid_in_it(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_list, NULL, "list", NULL), 0);
	assert_int_equal(rig.role, CUPEL__ROLE__ROLE_READER);
	assert_string_equal(
		rig_out(),
		"RUN  VERDICT  REPOSITORY  REF   COMMIT   SUBJECT                      AGE   TOOK\n"
		"  7  killed   sample      main  0123456  a subject \\u202ein disguise   1m  1.50s\n");
	assert_string_equal(rig_err(), "");
}

static void list_as_json_has_the_run_on_one_line(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_list, NULL, "list", "--json", NULL), 0);
	assert_says(rig_out(), "{\"runs\": [{\"id\": 7, ");
	assert_says(rig_out(), "\"commit\": \"0123456789012345678901234567890123456789\"");
	assert_says(rig_out(), "\"verdict\": \"killed\"");
	assert_ptr_equal(strchr(rig_out(), '\n'), rig_out() + strlen(rig_out()) - 1);
}

static void a_list_on_a_terminal_fits_into_it(void **state)
{
	(void)state;
	rig.terminal = true;
	assert_int_equal(rig_run(answer_list, NULL, "list", NULL), 0);
	assert_says(rig_out(), "\033[35mkilled\033[0m");
	assert_says(rig_out(), "  a subject \xe2\x80\xa6   1m  1.50s\r\n");
}

static void answer_run(struct rig *r, struct link *link, const struct frame *frame)
{
	if (frame->type == FRAME_LIST)
		answer_list(r, link, frame);
	else
		send_run(link, CUPEL__VERDICT__VERDICT_KILLED);
}

static void show_tells_jobs_and_reasons(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_run, NULL, "show", "7", NULL), 0);
	assert_says(rig_out(), "run 7 killed  sample main\n");
	assert_says(rig_out(), "  test  killed         1  box");
	assert_says(rig_out(), "  1.50s  0s   -       3 of 512  0\n");
	assert_says(rig_out(), "      it was so\n");
	assert_int_equal(rig_run(answer_run, NULL, "show", "latest", NULL), 0);
	assert_int_equal(rig_run(answer_run, NULL, "show", "01234567", NULL), 0);
	assert_says(rig_out(), "run 7 killed");
}

static void a_commit_that_no_run_has_is_told(void **state)
{
	(void)state;
	/* The page is never empty here, so the search ends at its bound. */
	assert_int_equal(rig_run(answer_list, NULL, "show", "dead", NULL), STATUS_NOT_THERE);
	assert_says(rig_err(), "commit dead");
}

static void a_word_that_is_no_run_is_told(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_run, NULL, "show", "x;y", NULL), STATUS_NOT_THERE);
	assert_says(rig_err(), "\"x;y\" is no run");
}

static void answer_error(struct rig *r, struct link *link, const struct frame *frame)
{
	const int *code = r->context;

	(void)frame;
	assert_int_equal(link_send_error(link, *code, "there is no run 4711\xe2\x80\xae"), 0);
}

static void what_the_dispatcher_refuses_is_told_in_its_words(void **state)
{
	static const struct {
		int code, status;
	} expected[] = {
		{ENOENT, STATUS_NOT_THERE}, {EPERM, STATUS_FORBIDDEN}, {ENOMEM, STATUS_FAILED}};
	static const char *const words[] = {"show", "log", "wait", "cancel", "retry", "why"};

	(void)state;
	for (size_t e = 0; e < 3; e++)
		for (size_t i = 0; i < 6; i++) {
			assert_int_equal(rig_run(answer_error, (void *)&expected[e].code, words[i],
						 "4711", NULL),
					 expected[e].status);
			assert_string_equal(rig_err(), "cupel: there is no run 4711\\u202e\n");
			assert_string_equal(rig_out(), "");
		}
}

static void answer_runners(struct rig *r, struct link *link, const struct frame *frame)
{
	Cupel__RunnerList list = CUPEL__RUNNER_LIST__INIT;
	Cupel__Runner runner = CUPEL__RUNNER__INIT;
	Cupel__Capacity all = CUPEL__CAPACITY__INIT, left = CUPEL__CAPACITY__INIT;
	Cupel__Runner *runners[] = {&runner};

	(void)r;
	assert_int_equal(frame->type, FRAME_RUNNERS);
	all.slots = 4;
	all.cpu_milli = 1500;
	all.memory = (uint64_t)2 << 30;
	left.slots = 3;
	left.memory = (uint64_t)1 << 30;
	left.cpu_milli = 500;
	runner.name = (char *)"box";
	runner.connected = true;
	runner.capacity = &all;
	runner.unused = &left;
	runner.pressure = (char *)"disk below 10%";
	runner.seen_at_ms = (uint64_t)clock_wall_ms();
	list.n_runners = 1;
	list.runners = runners;
	assert_int_equal(link_send(link, FRAME_RUNNER_LIST, &list.base), 0);
}

static void runners_tells_what_is_left(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_runners, NULL, "runners", NULL), 0);
	assert_says(rig_out(), "box     full   3 of 4  0.5 of 1.5  1G of 2G");
	assert_says(rig_out(), "    disk below 10%\n");
	assert_int_equal(rig_run(answer_runners, NULL, "runners", "--json", NULL), 0);
	assert_says(rig_out(), "{\"runners\": [{\"name\": \"box\", \"connected\": true");
}

static void answer_why(struct rig *r, struct link *link, const struct frame *frame)
{
	char *lines[] = {(char *)"test: queued: no runner", (char *)"  attempt 1 on box"};
	Cupel__Explanation e = CUPEL__EXPLANATION__INIT;

	(void)r;
	assert_int_equal(frame->type, FRAME_WHY);
	e.n_lines = 2;
	e.lines = lines;
	assert_int_equal(link_send(link, FRAME_EXPLANATION, &e.base), 0);
}

static void why_prints_the_explanation(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_why, NULL, "why", "7", "test", NULL), 0);
	assert_string_equal(rig_out(), "test: queued: no runner\n  attempt 1 on box\n");
}

/* --- waiting
 * -------------------------------------------------------------------------------------------- */

static void answer_watch(struct rig *r, struct link *link, const struct frame *frame)
{
	assert_int_equal(frame->type, FRAME_WATCH);
	send_run(link, CUPEL__VERDICT__VERDICT_NONE);
	send_run(link, *(Cupel__Verdict *)r->context);
}

static void wait_tells_the_verdict_by_its_exit_status(void **state)
{
	static const struct {
		Cupel__Verdict verdict;
		int status;
	} expected[] = {
		{CUPEL__VERDICT__VERDICT_PASSED, 0},     {CUPEL__VERDICT__VERDICT_FAILED, 1},
		{CUPEL__VERDICT__VERDICT_ERRORED, 2},    {CUPEL__VERDICT__VERDICT_TIMED_OUT, 3},
		{CUPEL__VERDICT__VERDICT_KILLED, 4},     {CUPEL__VERDICT__VERDICT_CANCELLED, 5},
		{CUPEL__VERDICT__VERDICT_SUPERSEDED, 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(
			rig_run(answer_watch, (void *)&expected[i].verdict, "wait", "7", NULL),
			expected[i].status);
		assert_says(rig_out(), verdict_word(expected[i].verdict));
	}
}

/* The first connection is lost in the middle; the second one tells. */
static void answer_watch_and_break(struct rig *r, struct link *link, const struct frame *frame)
{
	assert_int_equal(frame->type, FRAME_WATCH);
	send_run(link,
		 r->hellos == 1 ? CUPEL__VERDICT__VERDICT_NONE : CUPEL__VERDICT__VERDICT_FAILED);
	if (r->hellos == 1)
		link_finish(link);
}

static void wait_comes_back_to_a_dispatcher_that_was_away(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_watch_and_break, NULL, "wait", "7", NULL), 1);
	assert_int_equal(rig.hellos, 2);
	assert_string_equal(rig_err(), "");
}

/* --- changing
 * ------------------------------------------------------------------------------------------- */

static void answer_done(struct rig *r, struct link *link, const struct frame *frame)
{
	ProtobufCMessage *m;

	assert_int_equal(message_unpack(frame, &m, NULL), 0);
	if (frame->type == FRAME_CANCEL) {
		assert_int_equal(((Cupel__RunRequest *)m)->run, 7);
		assert_string_equal(((Cupel__RunRequest *)m)->reason, "no use");
	}
	if (frame->type == FRAME_RETRY)
		assert_true(((Cupel__RunRequest *)m)->failed_only);
	if (frame->type == FRAME_SET_LIMITS) {
		assert_int_equal(((Cupel__SetLimits *)m)->capacity->slots, 3);
		assert_int_equal(((Cupel__SetLimits *)m)->capacity->ceiling->wall_ms, 600000);
	}
	if (frame->type == FRAME_DRAIN_RUNNER)
		assert_string_equal(((Cupel__DrainRequest *)m)->runner, "box");
	message_free(m);
	*(int *)r->context = frame->type;
	send_done(link, "it is done");
}

static void changes_are_asked_for_and_told(void **state)
{
	int type = 0;

	(void)state;
	assert_int_equal(rig_run(answer_done, &type, "cancel", "7", "-m", "no use", NULL), 0);
	assert_int_equal(type, FRAME_CANCEL);
	assert_int_equal(rig.role, CUPEL__ROLE__ROLE_SUBMITTER);
	assert_string_equal(rig_out(), "it is done\n");
	assert_int_equal(rig_run(answer_done, &type, "retry", "--failed", "7", NULL), 0);
	assert_int_equal(type, FRAME_RETRY);
	assert_int_equal(rig_run(answer_done, &type, "drain", "box", NULL), 0);
	assert_int_equal(type, FRAME_DRAIN_RUNNER);
	assert_int_equal(rig.role, CUPEL__ROLE__ROLE_ADMIN);
	assert_int_equal(rig_run(answer_done, &type, "limits", "box", "--slots=3", "--job-wall",
				 "10m", "--json", NULL),
			 0);
	assert_int_equal(type, FRAME_SET_LIMITS);
	assert_string_equal(rig_out(), "{\"text\": \"it is done\"}\n");
}

static void answer_enroll(struct rig *r, struct link *link, const struct frame *frame)
{
	Cupel__Token token = CUPEL__TOKEN__INIT;

	(void)r;
	assert_int_equal(frame->type, FRAME_ENROLL);
	token.token = (char *)"cupel1:far:00:host:8888";
	assert_int_equal(link_send(link, FRAME_TOKEN, &token.base), 0);
}

static void enroll_prints_the_token_and_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_enroll, NULL, "enroll", "far", "--role", "runner", NULL),
			 0);
	assert_string_equal(rig_out(), "cupel1:far:00:host:8888\n");
	assert_string_equal(rig_err(), "");
	assert_int_equal(rig_run(answer_enroll, NULL, "enroll", "far", "--role", "king", NULL),
			 STATUS_USAGE);
	assert_int_equal(rig_run(answer_enroll, NULL, "enroll", "far", NULL), STATUS_USAGE);
}

static void answer_submit(struct rig *r, struct link *link, const struct frame *frame)
{
	Cupel__Submitted answer = CUPEL__SUBMITTED__INIT;
	ProtobufCMessage *m;

	if (frame->type == FRAME_WATCH) {
		send_run(link, CUPEL__VERDICT__VERDICT_TIMED_OUT);
		return;
	}
	assert_int_equal(frame->type, FRAME_SUBMIT);
	assert_int_equal(message_unpack(frame, &m, NULL), 0);
	if (r->context) {
		assert_string_equal(((Cupel__Submit *)m)->repository, r->context);
		assert_string_equal(((Cupel__Submit *)m)->name, "sample");
		assert_string_equal(((Cupel__Submit *)m)->revision, "HEAD");
	}
	message_free(m);
	answer.run = 7;
	assert_int_equal(link_send(link, FRAME_SUBMITTED, &answer.base), 0);
}

static void submit_prints_the_run(void **state)
{
	const char *url = "https://example.org/x/sample.git";

	(void)state;
	assert_int_equal(rig_run(answer_submit, (void *)url, "submit", url, NULL), 0);
	assert_string_equal(rig_out(), "7\n");
	assert_int_equal(rig_run(answer_submit, NULL, "submit", "--json", "--", url,
				 "--not-an-option", NULL),
			 0);
	assert_string_equal(rig_out(), "{\"run\": 7}\n");
	assert_int_equal(rig_run(answer_submit, (void *)url, "submit", url, "--wait", NULL), 3);
	assert_says(rig_out(), "7\nrun 7 timed_out in 1.50s");
}

static void submit_refuses_what_is_no_repository(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_submit, NULL, "submit", "/nowhere/at/all", NULL),
			 STATUS_NOT_THERE);
	assert_says(rig_err(), "/nowhere/at/all: No such file or directory");
	assert_int_equal(rig_run(answer_submit, NULL, "submit", rig.folder, NULL),
			 STATUS_NOT_THERE);
	assert_says(rig_err(), "is no git repository");
}

static void what_may_not_be_looked_into_is_not_called_no_repository(void **state)
{
	char folder[] = "/tmp/cupel-closed-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chmod(folder, 0), 0);
	assert_int_equal(chmod(rig.folder, 0755), 0);
	assert_int_equal(chmod(rig.address + 5, 0666), 0);
	rig.uid = STRANGER;
	assert_int_equal(rig_run(answer_submit, NULL, "submit", folder, NULL), STATUS_FORBIDDEN);
	assert_says(rig_err(), folder);
	assert_says(rig_err(), "the rights to read and search it");
	assert_int_equal(rmdir(folder), 0);
}

/* --- logs
 * -----------------------------------------------------------------------------------------------
 */

static const char log_bytes[] = "plain \033[31mred\033[0m \033]0;title\007\0zero \xff\n";
#define LOG_LENGTH (sizeof(log_bytes) - 1)

static void send_log(struct link *link, uint64_t offset, size_t length)
{
	const struct log_head head = {2, 1, offset};
	uint8_t packed[LOG_HEAD];

	log_head_write(&head, packed);
	assert_int_equal(
		link_send_raw(link, FRAME_LOG, packed, sizeof(packed), log_bytes + offset, length),
		0);
}

static void send_tail_end(struct link *link, uint64_t length)
{
	Cupel__TailEnd end = CUPEL__TAIL_END__INIT;
	Cupel__Attempt attempt = CUPEL__ATTEMPT__INIT;

	attempt.job = 2;
	attempt.epoch = 1;
	end.attempt = &attempt;
	end.length = length;
	assert_int_equal(link_send(link, FRAME_TAIL_END, &end.base), 0);
}

static void answer_log(struct rig *r, struct link *link, const struct frame *frame)
{
	const uint64_t *said = r->context;

	if (frame->type != FRAME_TAIL) {
		send_run(link, CUPEL__VERDICT__VERDICT_PASSED);
		return;
	}
	send_log(link, 0, 9);
	send_log(link, 9, LOG_LENGTH - 9);
	send_tail_end(link, said ? *said : LOG_LENGTH);
}

static void a_log_into_a_pipe_is_byte_exact(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_log, NULL, "log", "7", NULL), 0);
	assert_int_equal(rig.texts[0].length, LOG_LENGTH);
	assert_memory_equal(rig.texts[0].data, log_bytes, LOG_LENGTH);
}

static void a_log_on_a_terminal_has_text_and_colours_only(void **state)
{
	(void)state;
	rig.terminal = true;
	assert_int_equal(rig_run(answer_log, NULL, "log", "7", "test", NULL), 0);
	assert_string_equal(rig_out(), "plain \033[31mred\033[0m zero \xef\xbf\xbd\r\n\033[0m");
}

static void a_log_as_json_is_an_object_for_each_line(void **state)
{
	(void)state;
	rig.terminal = true; /* it makes no difference */
	assert_int_equal(rig_run(answer_log, NULL, "log", "--json", "7", NULL), 0);
	assert_string_equal(
		rig_out(),
		"{\"job\": \"test\", \"attempt\": 1, \"stream\": \"output\", \"offset\": 0, \"text\": "
		"\"plain \\u001B[31mred\\u001B[0m \\u001B]0;title\\u0007\\u0000zero \\uFFFD\\n\"}\r\n");
}

static void a_log_that_ends_early_is_told(void **state)
{
	const uint64_t more = LOG_LENGTH + 5;

	(void)state;
	assert_int_equal(rig_run(answer_log, (void *)&more, "log", "7", NULL), STATUS_FAILED);
	assert_says(rig_err(), "the log ends at");
}

static void a_job_that_is_not_there_is_told_with_those_that_are(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_log, NULL, "log", "7", "tset", NULL), STATUS_NOT_THERE);
	assert_says(rig_err(), "run 7 has no job tset; it has plan, test");
}

/* In the middle of the log the connection is lost: the second one is asked for the rest. */
static void answer_log_and_break(struct rig *r, struct link *link, const struct frame *frame)
{
	ProtobufCMessage *m;

	if (frame->type != FRAME_TAIL) {
		send_run(link, CUPEL__VERDICT__VERDICT_NONE);
		return;
	}
	assert_int_equal(message_unpack(frame, &m, NULL), 0);
	if (r->hellos == 1) {
		send_log(link, 0, 9);
		link_finish(link);
	} else {
		assert_int_equal(((Cupel__Tail *)m)->offset, 9);
		assert_int_equal(((Cupel__Tail *)m)->epoch, 1);
		send_log(link, 9, LOG_LENGTH - 9);
		send_tail_end(link, LOG_LENGTH);
	}
	message_free(m);
}

static void who_follows_a_log_sees_every_byte_once(void **state)
{
	(void)state;
	assert_int_equal(rig_run(answer_log_and_break, NULL, "log", "-f", "7", NULL), 0);
	assert_int_equal(rig.texts[0].length, LOG_LENGTH);
	assert_memory_equal(rig.texts[0].data, log_bytes, LOG_LENGTH);
	rig.hellos = 0;
	assert_int_equal(rig_run(answer_log_and_break, NULL, "log", "-f", "--json", "7", NULL), 0);
	assert_says(rig_out(), "\"offset\": 0, \"text\": \"plain \\u001B[31mred");
	assert_ptr_equal(strchr(rig_out(), '\n'), rig_out() + strlen(rig_out()) - 1);
}

/* --- usage
 * ---------------------------------------------------------------------------------------------- */

static void no_answer(struct rig *r, struct link *link, const struct frame *frame)
{
	(void)r;
	(void)link;
	fail_msg("%s was asked", message_name(frame->type));
}

static void wrong_usage_is_told_and_never_looks_like_a_verdict(void **state)
{
	(void)state;
	assert_int_equal(rig_run(no_answer, NULL, "wiat", "7", NULL), STATUS_USAGE);
	assert_says(rig_err(), "there is no command wiat; is it wait? See `cupel help`");
	assert_int_equal(rig_run(no_answer, NULL, "wait", NULL), STATUS_USAGE);
	assert_says(rig_err(), "cupel wait RUN");
	assert_int_equal(rig_run(no_answer, NULL, "wait", "7", "8", NULL), STATUS_USAGE);
	assert_int_equal(rig_run(no_answer, NULL, "wait", "7", "--jsno", NULL), STATUS_USAGE);
	assert_says(rig_err(), "is it --json?");
	assert_int_equal(rig_run(no_answer, NULL, "--no-such-option", NULL), STATUS_USAGE);
	assert_says(rig_err(), "no-such-option");
	assert_int_equal(rig_run(no_answer, NULL, "limits", "box", NULL), STATUS_USAGE);
	assert_int_equal(rig_run(no_answer, NULL, "up", NULL), STATUS_USAGE);
	assert_int_equal(rig_run(no_answer, NULL, "up", "--solts", "2", ".", NULL), STATUS_USAGE);
}

static void no_dispatcher_is_told_with_the_remedy(void **state)
{
	(void)state;
	assert_int_equal(
		rig_run(no_answer, NULL, "list", "--dispatcher", "unix:/nowhere/sock", NULL),
		STATUS_UNAVAILABLE);
	assert_string_equal(
		rig_err(), "cupel: no dispatcher at unix:/nowhere/sock: No such file or directory. "
			   "Start one with `cupel up REPO`, or name another with --dispatcher\n");
	assert_int_equal(rig_run(no_answer, NULL, "list", "--dispatcher", "127.0.0.1:1", NULL),
			 STATUS_FORBIDDEN);
	assert_says(rig_err(), "--token FILE");
}

static void a_socket_that_is_closed_to_us_is_told_with_the_remedy(void **state)
{
	(void)state;
	rig.uid = STRANGER;
	assert_int_equal(chmod(rig.folder, geteuid() == 0 ? 0700 : 0), 0);
	assert_int_equal(rig_run(no_answer, NULL, "list", NULL), STATUS_FORBIDDEN);
	assert_int_equal(chmod(rig.folder, 0700), 0);
	assert_says(rig_err(), rig.address + 5);
	assert_says(rig_err(), "allow_uids");
	assert_null(strstr(rig_err(), "Start one"));
	assert_int_equal(chmod(rig.folder, 0755), 0);
	assert_int_equal(chmod(rig.address + 5, geteuid() == 0 ? 0600 : 0), 0);
	assert_int_equal(rig_run(no_answer, NULL, "list", NULL), STATUS_FORBIDDEN);
	assert_says(rig_err(), "is not open to this user");
}

static void every_command_has_help(void **state)
{
	(void)state;
	assert_int_equal(rig_run(no_answer, NULL, "help", NULL), 0);
	for (size_t i = 0; i < commands_count; i++) {
		assert_says(rig_out(), commands[i]->summary);
		assert_true(strlen(commands[i]->summary) < 80);
	}
	for (size_t i = 0; i < commands_count; i++) {
		if (commands[i]->passes)
			continue;
		assert_int_equal(rig_run(no_answer, NULL, commands[i]->name, "--help", NULL), 0);
		assert_says(rig_out(), commands[i]->name);
	}
	assert_int_equal(rig_run(no_answer, NULL, "--version", NULL), 0);
	assert_says(rig_out(), "cupel ");
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIGGED(list_is_a_table_without_what_strangers_hid_in_it),
		RIGGED(list_as_json_has_the_run_on_one_line),
		RIGGED(a_list_on_a_terminal_fits_into_it),
		RIGGED(show_tells_jobs_and_reasons),
		RIGGED(a_commit_that_no_run_has_is_told),
		RIGGED(a_word_that_is_no_run_is_told),
		RIGGED(what_the_dispatcher_refuses_is_told_in_its_words),
		RIGGED(runners_tells_what_is_left),
		RIGGED(why_prints_the_explanation),
		RIGGED(wait_tells_the_verdict_by_its_exit_status),
		RIGGED(wait_comes_back_to_a_dispatcher_that_was_away),
		RIGGED(changes_are_asked_for_and_told),
		RIGGED(enroll_prints_the_token_and_nothing_else),
		RIGGED(submit_prints_the_run),
		RIGGED(submit_refuses_what_is_no_repository),
		RIGGED(what_may_not_be_looked_into_is_not_called_no_repository),
		RIGGED(a_log_into_a_pipe_is_byte_exact),
		RIGGED(a_log_on_a_terminal_has_text_and_colours_only),
		RIGGED(a_log_as_json_is_an_object_for_each_line),
		RIGGED(a_log_that_ends_early_is_told),
		RIGGED(a_job_that_is_not_there_is_told_with_those_that_are),
		RIGGED(who_follows_a_log_sees_every_byte_once),
		RIGGED(wrong_usage_is_told_and_never_looks_like_a_verdict),
		RIGGED(no_dispatcher_is_told_with_the_remedy),
		RIGGED(a_socket_that_is_closed_to_us_is_told_with_the_remedy),
		RIGGED(every_command_has_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
