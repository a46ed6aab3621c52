#include "cli/subcommands.h"

static int run(struct cli *cli, void *values)
{
	static const char text[] = "cupel " CUPEL_VERSION "\n";
	const struct buffer b = {.data = (char *)text, .length = sizeof(text) - 1};

	(void)values;
	return cli_print(cli, &b, 0);
}

const struct command command_version = {
	.name = "version",
	.synopsis = "",
	.summary = "the version",
	.run = run,
};
