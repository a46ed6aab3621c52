#include "cli/subcommands.h"

#include "cli/sibling.h"

static int run(struct cli *cli, void *values)
{
	struct error err = {0};

	(void)values;
	(void)sibling_become("cupel-runner", "lint", cli->argc, cli->argv, &err); /* `err` tells */
	return cli_fail(cli, &err);
}

const struct command command_lint = {
	.name = "lint",
	.synopsis = "[--json] [DIR|FILE]",
	.summary = "checks a job file, or says which rule takes effect without one",
	.words_max = 1,
	.passes = true,
	.run = run,
};
