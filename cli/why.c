#include "cli/subcommands.h"

#include "cli/escape.h"
#include "cli/find.h"

static int print(struct cli *cli, const Cupel__Explanation *e)
{
	owned_buffer text = {0};
	int rc = 0;

	if (cli->json)
		return cli_print_json(cli, &e->base, 0);
	for (size_t i = 0; i < e->n_lines && rc == 0; i++) {
		rc = escape_text(&text, e->lines[i]);
		if (rc == 0)
			rc = buffer_append(&text, "\n", 1);
	}
	return cli_print(cli, &text, rc < 0 ? STATUS_FAILED : 0);
}

static int run(struct cli *cli, void *values)
{
	Cupel__RunRequest wish = CUPEL__RUN_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	(void)values;
	if (cli_word(cli, 1))
		wish.job = (char *)cli_word(cli, 1);
	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    find_run(c, cli_word(cli, 0), &wish.run, &err) < 0 ||
	    client_ask(c, FRAME_WHY, &wish.base, FRAME_EXPLANATION, &m, &err) < 0)
		return cli_fail(cli, &err);
	status = print(cli, (const Cupel__Explanation *)m);
	message_free(m);
	return status;
}

const struct command command_why = {
	.name = "why",
	.synopsis = "RUN [JOB]",
	.summary = "why it isn't running, or why it ended as it did",
	.words_min = 1,
	.words_max = 2,
	.asks = true,
	.run = run,
};
