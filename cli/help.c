#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 26 /* where what an option does begins */

static int put_option(struct buffer *out, const struct option_row *row)
{
	char left[64], letter[8] = "    ";

	if (row->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", row->letter); /* fits */
	(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->value ? " " : "",
		       row->value ? row->value : ""); /* fits */
	return buffer_printf(out, "  %-*s %s\n", OPTION_COLUMN, left, row->help);
}

static int put_options(struct buffer *out, const struct option_row *rows, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = put_option(out, &rows[i]);
	return rc;
}

int help_command(struct cli *cli, const struct command *command)
{
	owned_buffer out = {0};
	int rc = buffer_printf(&out, "usage: cupel %s %s\n\n%s\n%s%s%s", command->name,
			       command->synopsis, command->summary, command->details ? "\n" : "",
			       command->details ? command->details : "",
			       command->details ? "\n" : "");

	if (rc == 0)
		rc = buffer_append(&out, "\n", 1);
	if (rc == 0)
		rc = put_options(&out, command->options, command->options_count);
	for (size_t i = command->asks ? 0 : 1; i < 2 && rc == 0; i++)
		rc = put_options(&out, cli_common_sets[i].rows, cli_common_sets[i].count);
	return cli_print(cli, &out, rc < 0 ? STATUS_FAILED : 0);
}

static int help_all(struct cli *cli)
{
	owned_buffer out = {0};
	int rc = buffer_printf(
		&out, "usage: cupel COMMAND [WORD]... [OPTION]...\n"
		      "\n"
		      "Tests every commit of your repositories, each in a sandbox of its own.\n"
		      "\n");

	for (size_t i = 0; i < commands_count && rc == 0; i++)
		rc = buffer_printf(&out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	if (rc == 0)
		rc = buffer_printf(
			&out,
			"\n"
			"`cupel help COMMAND` tells more. The dispatcher is the one that `cupel up`\n"
			"started on this box, or --dispatcher unix:PATH|HOST:PORT, or CUPEL_DISPATCHER.\n"
			"\n"
			"Exit status: 0 done; of wait, submit --wait and run the verdict: 0 passed,\n"
			"1 failed, 2 errored, 3 timed_out, 4 killed, 5 cancelled or superseded; 64 wrong\n"
			"usage, 66 no such thing, 69 no dispatcher, 70 it failed, 77 not allowed.\n");
	return cli_print(cli, &out, rc < 0 ? STATUS_FAILED : 0);
}

static int run(struct cli *cli, void *values)
{
	const char *name = cli_word(cli, 0);
	const struct command *command = name ? command_find(name) : NULL;
	struct error err = {0};

	(void)values;
	if (command && command->passes) {
		char *argv[] = {(char *)"--help"};

		cli->argc = 1;
		cli->argv = argv;
		return command->run(cli, NULL);
	}
	if (command)
		return help_command(cli, command);
	if (!name)
		return help_all(cli);
	(void)error_say(&err, EINVAL, "there is no command %s", name);
	return cli_usage(cli, NULL, &err);
}

const struct command command_help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.summary = "all commands, or one",
	.words_max = 1,
	.run = run,
};
