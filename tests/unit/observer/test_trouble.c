/* What goes wrong between observer and dispatcher, on the disk, at the start and at remote ends. */
#include "rig.h"

static size_t times_told(const struct rig *r, const char *id)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += strcmp(r->told[i].commit, id) == 0;
	return n;
}

static void the_cursor_waits_for_the_acknowledgement(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	r->silent = true;
	observer_up(r);
	commit(r, "one", id);
	push(r, "main");
	wait_events(r, 1);
	observer_down(r);
	assert_false(cursor_holds(r, id));
	observer_up(r); /* as after a crash: it is sent again */
	wait_events(r, 2);
	assert_string_equal(r->told[1].commit, id);
	ack(r, r->told[1].sequence);
	wait_for(r, cursor_holds(r, id));
}

static void a_crash_between_acknowledgement_and_cursor_sends_again(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	sh(r, "cp -r state/cursors before");
	commit(r, "one", id);
	push(r, "main");
	wait_events(r, 1);
	wait_for(r, cursor_holds(r, id));
	observer_down(r);
	sh(r, "rm -r state/cursors; mv before state/cursors");
	observer_up(r);
	wait_events(r, 2);
	wait_for(r, cursor_holds(r, id));
	assert_int_equal(times_told(r, id), 2);
}

static void one_acknowledged_of_two_moves_nothing(void **state)
{
	struct rig *r = *state;
	char one[OID_HEX + 2], two[OID_HEX + 2];

	r->silent = true;
	observer_up(r);
	commit(r, "one", one);
	commit(r, "two", two);
	push(r, "main");
	wait_events(r, 2);
	ack(r, r->told[0].sequence);
	wait_for(r, observer_waiting(r->observer) == 1);
	observer_down(r);
	assert_false(cursor_holds(r, one) || cursor_holds(r, two));
	observer_up(r);
	wait_events(r, 4);
	assert_string_equal(r->told[2].commit, one);
	assert_string_equal(r->told[3].commit, two);
}

static void a_later_move_does_not_overtake_an_earlier_one(void **state)
{
	struct rig *r = *state;
	char one[OID_HEX + 2], two[OID_HEX + 2];

	r->silent = true;
	observer_up(r);
	commit(r, "one", one);
	sh(r, "git -C work checkout -q -b topic");
	commit(r, "two", two);
	push(r, "--atomic main topic");
	wait_events(r, 2);
	ack(r, r->told[1].sequence); /* topic's, which rests on main's */
	turn(r);
	observer_down(r);
	assert_false(cursor_holds(r, two));
	observer_up(r);
	wait_events(r, 4);
	assert_int_equal(times_told(r, one), 2);
}

static void no_more_than_a_window_is_on_its_way(void **state)
{
	struct rig *r = *state;

	r->silent = true;
	observer_up(r);
	sh(r,
	   "i=0; while [ $i -lt 200 ]; do printf 'commit refs/heads/main\\ncommitter A <a@x> 1700000000 "
	   "+0000\\ndata <<E\\nn%%d\\nE\\n' $i; [ $i -gt 0 ] || echo 'from refs/heads/main^0'; i=$((i+1)); "
	   "done | git -C work fast-import --quiet");
	push(r, "main");
	wait_events(r, 64);
	turn(r);
	turn(r);
	assert_int_equal(r->count, 64);
	r->silent = false;
	for (size_t i = 0; i < 64; i++)
		ack(r, r->told[i].sequence);
	wait_events(r, 200);
	assert_string_equal(r->told[199].subject, "n199");
}

static void a_dispatcher_that_is_away_is_waited_for(void **state)
{
	struct rig *r = *state;
	char one[OID_HEX + 2], two[OID_HEX + 2];

	dispatcher_stop(r);
	observer_up(r);
	commit(r, "one", one);
	push(r, "main");
	turn(r);
	commit(r, "two", two);
	push(r, "main");
	turn(r);
	dispatcher_start(r);
	wait_events(r, 2);
	assert_string_equal(r->told[0].commit, one);
	assert_string_equal(r->told[1].commit, two);
}

static void what_was_not_acknowledged_is_sent_again_after_a_lost_connection(void **state)
{
	struct rig *r = *state;
	char one[OID_HEX + 2], two[OID_HEX + 2];

	r->silent = true;
	observer_up(r);
	commit(r, "one", one);
	push(r, "main");
	wait_events(r, 1);
	dispatcher_stop(r);
	commit(r, "two", two);
	push(r, "main");
	r->silent = false;
	dispatcher_start(r);
	wait_events(r, 3);
	assert_string_equal(r->told[1].commit, one);
	assert_string_equal(r->told[2].commit, two);
	wait_for(r, cursor_holds(r, two));
}

static void a_refused_event_is_sent_until_it_is_taken(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	r->refusals = 2;
	observer_up(r);
	commit(r, "one", id);
	commit(r, "two", id);
	push(r, "main");
	wait_for(r, cursor_holds(r, id));
	assert_int_equal(r->refusals, 0);
	assert_string_equal(r->told[r->count - 2].subject, "one");
	assert_string_equal(r->told[r->count - 1].subject, "two");
}

static void a_refused_observer_says_so(void **state)
{
	struct rig *r = *state;

	r->refuse_hello = EACCES;
	observer_up(r);
	wait_for(r, r->refused);
}

/* An observer in a process of its own, to be killed. */
static pid_t program_up(struct rig *r)
{
	int ends[2];
	char word;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct event_base *base = event_base_new();
		const struct observer_hooks hooks = {.ready = is_ready, .context = r};
		struct observer *o;

		if (observer_new(base, &r->options, &hooks, &o, NULL) < 0)
			_exit(1);
		r->ready = false;
		while (!r->ready)
			event_base_loop(base, EVLOOP_ONCE);
		(void)fd_write_all(ends[1], "r", 1);
		event_base_dispatch(base);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &word, 1), 1);
	close(ends[0]);
	return pid;
}

static void a_killed_observer_skips_nothing(void **state)
{
	struct rig *r = *state;
	char ids[12][OID_HEX + 2];

	for (int i = 0; i < 12; i++) {
		pid_t pid = program_up(r);

		commit(r, "one of many", ids[i]);
		push(r, "main");
		if (i % 3)
			wait_for(r, was_told(r, ids[i])); /* killed about when it notes this */
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	observer_up(r);
	for (int i = 0; i < 12; i++)
		wait_for(r, was_told(r, ids[i]));
	wait_for(r, cursor_holds(r, ids[11]));
}

/* --- refusals at the start
 * ------------------------------------------------------------------------ */

static void what_is_no_repository_is_refused_in_a_sentence(void **state)
{
	struct rig *r = *state;

	sh(r, "mkdir empty; echo >file; ln -s loop loop");
	refused_for(r, "nowhere", "nowhere: No such file", "");
	refused_for(r, "empty", "no git repository", "name the directory");
	refused_for(r, "loop", "loop of symbolic links", "give the path");
	refused_for(r, "file", "file", "");
	refused_for(r, "gopher://host/x", "unknown kind of URL", "https");
	refused_for(r, "https://me:secret@host/x", "password", "ssh");
}

static void a_missing_right_is_told(void **state)
{
	struct rig *r = *state;
	struct error err = {0};

	if (geteuid() != 0) {
		print_message("SKIP a_missing_right_is_told: needs root to become somebody else\n");
		skip();
	}
	sh(r, "chmod 755 .; mkdir -m 777 open; chmod 700 app.git");
	free(r->options.state);
	(void)asprintf(&r->options.state, "%s/open/state", r->dir);
	assert_int_equal(seteuid(54321), 0);
	assert_true(observer_try(r, &err) < 0);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(err.text, "must be able to read"));
}

static void the_same_repository_twice_is_refused(void **state)
{
	struct rig *r = *state;
	struct error err = {0};

	sh(r, "ln -s app.git alias");
	repository_is(r, "alias");
	assert_int_equal(observer_try(r, &err), -EEXIST);
	assert_non_null(strstr(err.text, "given twice"));
}

static void a_state_directory_in_use_is_refused(void **state)
{
	struct rig *r = *state;
	struct observer *first;
	struct error err = {0};

	observer_up(r);
	first = r->observer;
	assert_int_equal(observer_try(r, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	r->observer = first;
}

static void a_cursor_of_a_newer_version_or_damaged_is_refused(void **state)
{
	struct rig *r = *state;
	struct error err = {0};

	observer_up(r);
	observer_down(r);
	sh(r, "sed -i '1s/1/2/' state/cursors/*");
	assert_int_equal(observer_try(r, &err), -EPROTO);
	assert_non_null(strstr(err.text, "newer"));
	sh(r, "sed -i '1s/2/1/; $d' state/cursors/*");
	assert_int_equal(observer_try(r, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "the end is missing"));
}

/* --- remote repositories
 * -------------------------------------------------------------------------- */

static void remote_is(struct rig *r, const char *url)
{
	struct error err = {0};
	char *state = strdup(r->options.state), *dispatcher = strdup(r->options.dispatcher);

	options_done(&r->options);
	r->options.state = state;
	r->options.dispatcher = dispatcher;
	r->options.poll_ms = 100;
	assert_int_equal(options_add_repository(&r->options, url, &err), 0);
}

static void watch_remote(struct rig *r, const char *url)
{
	char id[OID_HEX + 2], side[OID_HEX + 2];

	remote_is(r, url);
	observer_up(r);
	commit(r, "one", id);
	commit(r, "two", id);
	push(r, "main");
	wait_events(r, 2);
	assert_string_equal(r->told[0].subject, "one");
	assert_string_equal(r->told[1].commit, id);
	assert_string_equal(r->told[0].repository, url);
	sh(r, "git -C work checkout -q --orphan other");
	commit(r, "side", side);
	push(r, "other:main");
	sh(r,
	   "git -C work push -q ../app.git other:main/sub 2>&1 || true; git -C work tag -a -m t t; git -C work "
	   "push -q ../app.git t");
	wait_for(r, was_told(r, side));
	wait_for(r, cursor_holds(r, "refs/tags/t"));
	assert_int_equal(r->count, 3);
}

static void a_file_url_is_polled(void **state)
{
	struct rig *r = *state;
	char url[200];

	(void)snprintf(url, sizeof(url), "file://%s/app.git", r->dir);
	watch_remote(r, url);
}

static bool answers(unsigned port)
{
	char line[100];

	(void)snprintf(line, sizeof(line), "bash -c 'exec 3<>/dev/tcp/127.0.0.1/%u' 2>/dev/null",
		       port);
	return system(line) == 0;
}

static void a_git_daemon_is_polled(void **state)
{
	struct rig *r = *state;
	unsigned port = 20000 + (unsigned)getpid() % 20000;
	char text[20], base[100], url[100];
	pid_t pid;

	(void)snprintf(text, sizeof(text), "--port=%u", port);
	(void)snprintf(base, sizeof(base), "--base-path=%s", r->dir);
	pid = fork();
	if (pid == 0) {
		(void)setpgid(0, 0);
		close(2);
		execlp("git", "git", "daemon", "--listen=127.0.0.1", text, base, "--export-all",
		       NULL);
		_exit(127);
	}
	while (!answers(port)) {
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			print_message("SKIP a_git_daemon_is_polled: git daemon doesn't run here\n");
			skip();
		}
	}
	(void)snprintf(url, sizeof(url), "git://127.0.0.1:%u/app.git", port);
	watch_remote(r, url);
	kill(-pid, SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_remote_that_is_away_is_found_when_it_comes(void **state)
{
	struct rig *r = *state;
	char url[200], id[OID_HEX + 2];

	(void)snprintf(url, sizeof(url), "file://%s/app.git", r->dir);
	sh(r, "mv app.git away");
	remote_is(r, url);
	observer_up(r); /* a warning, no refusal: the network may come later than we */
	sh(r, "mv away app.git");
	wait_for(r, cursor_holds(r, "refs/heads/main"));
	commit(r, "one", id);
	push(r, "main");
	wait_events(r, 1);
	assert_string_equal(r->told[0].commit, id);
}

static void a_lock_left_by_a_killed_fetch_is_no_obstacle(void **state)
{
	struct rig *r = *state;
	char url[200], id[OID_HEX + 2];

	(void)snprintf(url, sizeof(url), "file://%s/app.git", r->dir);
	remote_is(r, url);
	observer_up(r);
	observer_down(r);
	sh(r, "cd state/mirrors/*; touch refs/heads/main.lock packed-refs.lock");
	observer_up(r);
	commit(r, "one", id);
	push(r, "main");
	wait_events(r, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_cursor_waits_for_the_acknowledgement),
		RIG_TEST(a_crash_between_acknowledgement_and_cursor_sends_again),
		RIG_TEST(one_acknowledged_of_two_moves_nothing),
		RIG_TEST(a_later_move_does_not_overtake_an_earlier_one),
		RIG_TEST(no_more_than_a_window_is_on_its_way),
		RIG_TEST(a_dispatcher_that_is_away_is_waited_for),
		RIG_TEST(what_was_not_acknowledged_is_sent_again_after_a_lost_connection),
		RIG_TEST(a_refused_event_is_sent_until_it_is_taken),
		RIG_TEST(a_refused_observer_says_so),
		RIG_TEST(a_killed_observer_skips_nothing),
		RIG_TEST(what_is_no_repository_is_refused_in_a_sentence),
		RIG_TEST(a_missing_right_is_told),
		RIG_TEST(the_same_repository_twice_is_refused),
		RIG_TEST(a_state_directory_in_use_is_refused),
		RIG_TEST(a_cursor_of_a_newer_version_or_damaged_is_refused),
		RIG_TEST(a_file_url_is_polled),
		RIG_TEST(a_git_daemon_is_polled),
		RIG_TEST(a_remote_that_is_away_is_found_when_it_comes),
		RIG_TEST(a_lock_left_by_a_killed_fetch_is_no_obstacle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
