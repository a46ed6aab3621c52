#include "cli/subcommands.h"

#include "cli/sibling.h"

static int run(struct cli *cli, void *values)
{
	struct error err = {0};

	(void)values;
	(void)sibling_become("cupel-runner", "run", cli->argc, cli->argv, &err); /* `err` tells */
	return cli_fail(cli, &err);
}

const struct command command_run = {
	.name = "run",
	.synopsis = "[--json] [--job NAME] [--rev REV] [--allow-network-host] [DIR]",
	.summary = "tests this working tree, or a commit, in the same sandbox; no server",
	.passes = true,
	.words_max = 1,
	.run = run,
};
