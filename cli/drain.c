#include "cli/subcommands.h"

#include "cli/told.h"

struct values {
	bool off;
};

static const struct option_row rows[] = {
	{"off", 0, OPTION_FLAG, NULL, "let it take jobs again", offsetof(struct values, off)},
};

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	Cupel__DrainRequest wish = CUPEL__DRAIN_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};

	wish.runner = (char *)cli_word(cli, 0);
	wish.off = v->off;
	if (client_open(cli, CUPEL__ROLE__ROLE_ADMIN, &c, &err) < 0)
		return cli_fail(cli, &err);
	return told(cli, c, FRAME_DRAIN_RUNNER, &wish.base);
}

const struct command command_drain = {
	.name = "drain",
	.synopsis = "RUNNER",
	.summary = "lets a runner finish what it has and take nothing new",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.asks = true,
	.run = run,
};
