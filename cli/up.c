/* up.c - everything on one box: dispatcher, runner and observer as children, in the foreground.
 *
 * They start in that order, each when the one before is ready, and stop in the reverse one. What
 * they know is on disk: whenever this program or one of them dies, nothing is lost. */
#include "cli/subcommands.h"

#include "base/fd.h"
#include "cli/console.h"
#include "cli/daemon.h"
#include "cli/escape.h"
#include "cli/up_words.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { DISPATCHER, RUNNER, OBSERVER, DAEMONS };

struct up {
	struct cli *cli;
	struct up_words *words;
	struct event_base *base;
	struct event *signals[3];
	struct daemon *daemons[DAEMONS];
	struct console *console;
	int next; /* to be started when the one before is ready */
	bool is_up, stopping;
	int status;
};

/* --- telling
 * ---------------------------------------------------------------------------------------- */

/* Each line of `text` behind who says it. */
static void tell(struct up *u, struct terminal *t, const char *who, const char *text)
{
	owned_buffer out = {0};
	int rc = 0;

	(void)u;
	while (rc == 0) {
		size_t length = strcspn(text, "\n");
		owned_str *line = strndup(text, length);

		rc = line ? buffer_printf(&out, "%s%s", who, *who ? ": " : "") : -ENOMEM;
		if (rc == 0)
			rc = escape_text(&out, line);
		if (rc == 0)
			rc = buffer_append(&out, "\n", 1);
		if (!text[length])
			break;
		text += length + 1;
	}
	if (rc == 0)
		(void)terminal_write(t, out.data, out.length); /* nobody may be there to read it */
}

static void tell_watching(struct up *u)
{
	const struct up_words *w = u->words;
	char line[PATH_MAX + 128];

	for (size_t i = 0; i < w->repositories_count; i++) {
		(void)snprintf(line, sizeof(line), "watching %s", w->repositories[i]); /* cut */
		tell(u, &u->cli->out, "", line);
	}
	if (w->default_state)
		return;
	(void)snprintf(line, sizeof(line), "to ask: export CUPEL_DISPATCHER=%s",
		       w->address); /* cut */
	tell(u, &u->cli->out, "", line);
}

/* --- stopping
 * --------------------------------------------------------------------------------------- */

/* The last one that runs; when none does, it is over. */
static void stop_next(struct up *u)
{
	for (int i = DAEMONS - 1; i >= 0; i--)
		if (daemon_running(u->daemons[i])) {
			daemon_stop(u->daemons[i]);
			return;
		}
	(void)event_base_loopbreak(u->base); /* it is running */
}

static void stop_all(struct up *u, int status)
{
	if (u->stopping)
		return;
	u->stopping = true;
	u->status = status;
	if (u->console)
		console_free(give(u->console));
	for (int i = 0; i < DAEMONS; i++)
		if (!daemon_running(u->daemons[i]))
			daemon_stop(u->daemons[i]); /* so that none starts again */
	stop_next(u);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct up *u = context;

	(void)number;
	(void)what;
	if (u->stopping) { /* asked twice: at once */
		(void)event_base_loopbreak(u->base);
		return;
	}
	if (u->is_up)
		tell(u, &u->cli->out, "",
		     "stopping; nothing is lost: jobs that were running begin again with the next `cupel up`");
	stop_all(u, 0);
}

/* --- what the daemons do
 * ---------------------------------------------------------------------------- */

static void fail(struct up *u, const struct error *err)
{
	(void)cli_fail(u->cli, err); /* the status is that of what could not start */
	stop_all(u, 1);
}

static void start_next(struct up *u)
{
	struct error err = {0};

	if (daemon_start(u->daemons[u->next++], &err) < 0)
		fail(u, &err);
}

static void on_verdict(void *context, const char *text)
{
	struct up *u = context;

	(void)terminal_write(&u->cli->out, text, strlen(text)); /* nobody may be there to read it */
}

static void listen_to_verdicts(struct up *u)
{
	struct error err = {0};

	if (console_new(u->base, u->words->address, &u->cli->out, on_verdict, u, &u->console,
			&err) < 0)
		fail(u, &err);
}

static void on_ready(void *context, struct daemon *d)
{
	struct up *u = context;

	if (u->stopping)
		return;
	if (u->is_up) {
		tell(u, &u->cli->err, daemon_name(d), "is back");
		return;
	}
	if (d == u->daemons[DISPATCHER])
		listen_to_verdicts(u);
	if (u->next < DAEMONS) {
		start_next(u);
		return;
	}
	u->is_up = true;
	tell_watching(u);
}

static void on_ended(void *context, struct daemon *d, bool started, const char *how)
{
	struct up *u = context;
	char after[64];

	(void)started;
	if (u->stopping) {
		stop_next(u);
		return;
	}
	tell(u, &u->cli->err, daemon_name(d), how);
	if (!u->is_up) {
		tell(u, &u->cli->err, "cupel", "it could not start, so everything stops");
		stop_all(u, daemon_misused(d) ? STATUS_USAGE : 1);
		return;
	}
	(void)snprintf(after, sizeof(after), "starts again in %llu ms",
		       (unsigned long long)daemon_start_later(d)); /* fits */
	tell(u, &u->cli->err, daemon_name(d), after);
}

static void on_said(void *context, struct daemon *d, const char *line)
{
	struct up *u = context;

	tell(u, &u->cli->err, daemon_name(d), line);
}

/* --- life
 * ------------------------------------------------------------------------------------------- */

static int make_daemons(struct up *u, struct error *err)
{
	static const struct daemon_callbacks callbacks = {
		.ready = on_ready, .ended = on_ended, .said = on_said};
	static const char *const names[DAEMONS] = {"dispatcher", "runner", "observer"};
	/* Nobody asked the runner's jobs to end: it leaves them to the next one. */
	static const int orphaned[DAEMONS] = {SIGTERM, SIGUSR2, SIGTERM};
	char *const *argv[DAEMONS] = {u->words->dispatcher.at, u->words->runner.at,
				      u->words->observer.at};
	int rc = 0;

	for (int i = 0; i < DAEMONS && rc == 0; i++) {
		struct daemon_options options = {names[i], argv[i], u->words->verbose, orphaned[i]};

		rc = daemon_new(u->base, &options, &callbacks, u, &u->daemons[i], err);
	}
	return rc;
}

static int catch_signals(struct up *u, struct error *err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < 3; i++) {
		u->signals[i] = evsignal_new(u->base, numbers[i], on_signal, u);
		if (!u->signals[i] || event_add(u->signals[i], NULL) < 0)
			return error_set(err, ENOMEM, "wait for signals");
	}
	return 0;
}

static void done(struct up *u)
{
	if (u->console)
		console_free(give(u->console));
	for (int i = DAEMONS - 1; i >= 0; i--)
		if (u->daemons[i])
			daemon_free(give(u->daemons[i]));
	for (size_t i = 0; i < 3; i++)
		if (u->signals[i])
			event_free(give(u->signals[i]));
	if (u->base)
		event_base_free(give(u->base));
}

static int serve(struct cli *cli, struct up_words *words, struct error *err)
{
	struct up u = {.cli = cli, .words = words, .base = event_base_new()};
	int rc = u.base ? catch_signals(&u, err) : error_set(err, ENOMEM, "start the event loop");

	if (rc == 0)
		rc = make_daemons(&u, err);
	if (rc == 0) {
		start_next(&u);
		(void)event_base_dispatch(u.base); /* until it has all stopped */
	}
	done(&u);
	return rc < 0 ? rc : u.status;
}

/* One `cupel up` for one state. */
static int lock_state(const char *state, struct error *err)
{
	owned_fd dir = fd_make_path(state, 0700, err);
	int lock;

	if (dir < 0)
		return dir;
	lock = fd_lock(dir, "lock");
	if (lock == -EWOULDBLOCK)
		return error_say(
			err, EBUSY,
			"another `cupel up` keeps its state in %s: stop it, or choose another "
			"directory with --state",
			state);
	return lock < 0 ? error_set(err, -lock, "lock %s", state) : lock;
}

static int run(struct cli *cli, void *values)
{
	struct up_words *words = values;
	owned_fd lock = -1;
	struct error err = {0};
	int rc = up_words_make(cli, words, &err);

	if (rc == 0) {
		lock = lock_state(words->state, &err);
		rc = lock < 0 ? lock : 0;
	}
	if (rc == 0)
		rc = serve(cli, words, &err);
	up_words_done(words);
	if (rc >= 0)
		return rc;
	return err.code == EINVAL ? cli_usage(cli, &command_up, &err) : cli_fail(cli, &err);
}

const struct command command_up = {
	.name = "up",
	.synopsis = "[NAME=]REPO...",
	.summary = "everything on this box: tests each new commit of these repositories",
	.details =
		"Starts dispatcher, runner and observer, prints every verdict, and stops them on ^C. REPO is a\n"
		"path or a URL.",
	.options = up_option_rows,
	.options_count = UP_OPTIONS,
	.values_size = sizeof(struct up_words),
	.words_min = 1,
	.words_max = OPTION_WORDS_MAX,
	.run = run,
};
