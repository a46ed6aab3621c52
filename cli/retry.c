#include "cli/subcommands.h"

#include "cli/find.h"
#include "cli/told.h"

struct values {
	bool failed;
};

static const struct option_row rows[] = {
	{"failed", 'f', OPTION_FLAG, NULL, "only jobs that did not pass",
	 offsetof(struct values, failed)},
};

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	Cupel__RunRequest wish = CUPEL__RUN_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};

	wish.failed_only = v->failed;
	if (cli_word(cli, 1))
		wish.job = (char *)cli_word(cli, 1);
	if (client_open(cli, CUPEL__ROLE__ROLE_SUBMITTER, &c, &err) < 0 ||
	    find_run(c, cli_word(cli, 0), &wish.run, &err) < 0)
		return cli_fail(cli, &err);
	return told(cli, c, FRAME_RETRY, &wish.base);
}

const struct command command_retry = {
	.name = "retry",
	.synopsis = "RUN [JOB]",
	.summary = "runs the jobs of a run that has ended again, also what was poison",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.asks = true,
	.run = run,
};
