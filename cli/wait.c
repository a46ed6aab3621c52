#include "cli/subcommands.h"

#include "base/clock.h"
#include "cli/find.h"
#include "cli/format.h"
#include "cli/picture.h"

struct waiting {
	struct cli *cli;
	Cupel__Run *run; /* as it was told last */
};

static void show_progress(struct waiting *w)
{
	const struct picture p = {.now_ms = clock_wall_ms()};
	owned_buffer line = {0};

	if (w->run && picture_progress(&p, w->run, &line) == 0)
		terminal_live(&w->cli->err, line.data);
}

static void on_second(evutil_socket_t fd, short events, void *context)
{
	(void)fd;
	(void)events;
	show_progress(context);
}

static int on_run(void *context, const struct frame *frame, struct error *err)
{
	struct waiting *w = context;
	ProtobufCMessage *m;

	if (frame->type != FRAME_RUN)
		return 1;
	if (message_unpack(frame, &m, err) < 0)
		return -err->code;
	message_free(w->run ? &w->run->base : NULL);
	w->run = (Cupel__Run *)m;
	if (w->run->verdict)
		return 0;
	show_progress(w);
	return 1;
}

static int tell(struct cli *cli, const Cupel__Run *run)
{
	const struct picture p = {cli->out.width, cli->out.colour, clock_wall_ms()};
	int status = format_exit_status(run->verdict);
	owned_buffer text = {0};
	struct error err = {0};

	if (cli->json)
		return cli_print_json(cli, &run->base, status);
	if (picture_verdict(&p, run, &text) == 0)
		return cli_print(cli, &text, status);
	(void)error_set(&err, ENOMEM, "show the run"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

/* Watches it through restarts of the dispatcher. */
static int watch(struct client *c, uint64_t run, struct waiting *w, struct error *err)
{
	Cupel__RunRequest wish = CUPEL__RUN_REQUEST__INIT;
	int rc;

	wish.run = run;
	for (;;) {
		rc = client_stream(c, FRAME_WATCH, &wish.base, on_run, w, err);
		if (rc != -ENOTCONN)
			return rc;
		*err = (struct error){0};
		rc = client_again(c, err);
		if (rc < 0)
			return rc;
	}
}

int wait_for_run(struct cli *cli, struct client *c, uint64_t run)
{
	const struct timeval second = {.tv_sec = 1};
	struct waiting w = {.cli = cli};
	struct event *tick = NULL;
	struct error err = {0};
	int status, rc;

	if (cli->err.tty)
		tick = event_new(client_base(c), -1, EV_PERSIST, on_second, &w);
	if (tick)
		(void)event_add(tick, &second); /* only a convenience */
	rc = watch(c, run, &w, &err);
	if (tick)
		event_free(tick);
	(void)terminal_write(&cli->err, "", 0); /* takes the live line back */
	status = rc == 0 && w.run ? tell(cli, w.run) : cli_fail(cli, &err);
	message_free(w.run ? &w.run->base : NULL);
	return status;
}

static int run(struct cli *cli, void *values)
{
	owned(client) *c = NULL;
	struct error err = {0};
	uint64_t id;

	(void)values;
	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    find_run(c, cli_word(cli, 0), &id, &err) < 0)
		return cli_fail(cli, &err);
	return wait_for_run(cli, c, id);
}

const struct command command_wait = {
	.name = "wait",
	.synopsis = "RUN",
	.summary = "waits for a run's verdict; the exit status tells it",
	.details =
		"RUN is a number, `latest`, or the first digits of a commit. The exit status is 0 passed,\n"
		"1 failed, 2 errored, 3 timed_out, 4 killed, 5 cancelled or superseded; what went wrong with\n"
		"the asking itself is 64 or more.",
	.words_min = 1,
	.words_max = 1,
	.asks = true,
	.run = run,
};
