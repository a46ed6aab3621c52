#include "cli/subcommands.h"

#include "base/clock.h"
#include "cli/find.h"
#include "cli/picture.h"

static int print(struct cli *cli, const Cupel__Run *run)
{
	const struct picture p = {cli->out.width, cli->out.colour, clock_wall_ms()};
	owned_buffer text = {0};
	struct error err = {0};

	if (cli->json)
		return cli_print_json(cli, &run->base, 0);
	if (picture_run(&p, run, &text) == 0)
		return cli_print(cli, &text, 0);
	(void)error_set(&err, ENOMEM, "show the run"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

static int run(struct cli *cli, void *values)
{
	Cupel__RunRequest wish = CUPEL__RUN_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	(void)values;
	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    find_run(c, cli_word(cli, 0), &wish.run, &err) < 0 ||
	    client_ask(c, FRAME_GET, &wish.base, FRAME_RUN, &m, &err) < 0)
		return cli_fail(cli, &err);
	status = print(cli, (const Cupel__Run *)m);
	message_free(m);
	return status;
}

const struct command command_show = {
	.name = "show",
	.synopsis = "RUN",
	.summary = "a run: its jobs, each attempt, what was used and why it ended",
	.details = "RUN is a number, `latest`, or the first digits of a commit.",
	.words_min = 1,
	.words_max = 1,
	.asks = true,
	.run = run,
};
