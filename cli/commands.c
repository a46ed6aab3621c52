#include "cli/cli.h"

#include "cli/escape.h"
#include "cli/json.h"
#include "cli/sibling.h"
#include "cli/subcommands.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the order in which help tells them. */
const struct command *const commands[] = {
	&command_up,     &command_submit, &command_list,    &command_show,  &command_wait,
	&command_log,    &command_why,    &command_cancel,  &command_retry, &command_runners,
	&command_limits, &command_drain,  &command_enroll,  &command_lint,  &command_run,
	&command_doctor, &command_help,   &command_version,
};
const size_t commands_count = sizeof(commands) / sizeof(commands[0]);

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < commands_count; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* --- what every command needs
 * ------------------------------------------------------------------------ */

int cli_fail(struct cli *cli, const struct error *err)
{
	owned_buffer line = {0};

	if (buffer_printf(&line, "cupel: ") == 0 && escape_text(&line, err->text) == 0 &&
	    buffer_append(&line, "\n", 1) == 0)
		(void)terminal_write(&cli->err, line.data, line.length); /* the status tells, too */
	switch (err->code) {
	case ENOTCONN:
		return STATUS_UNAVAILABLE;
	case ENOENT:
		return STATUS_NOT_THERE;
	case EACCES:
	case EPERM:
		return STATUS_FORBIDDEN;
	default:
		return STATUS_FAILED;
	}
}

int cli_usage(struct cli *cli, const struct command *command, const struct error *err)
{
	struct error full = {0};

	size_t length = strlen(err->text);

	(void)error_say(&full, EINVAL, "%s%s See `cupel help%s%s`", err->text,
			length && err->text[length - 1] == '?' ? "" : ".", command ? " " : "",
			command ? command->name : ""); /* it is the text that counts */
	(void)cli_fail(cli, &full);                    /* as wrong usage */
	return STATUS_USAGE;
}

int cli_print(struct cli *cli, const struct buffer *text, int status)
{
	struct error err = {0};
	int rc = text->length ? terminal_write(&cli->out, text->data, text->length) : 0;

	if (rc == 0)
		return status;
	(void)error_set(&err, -rc, "write the answer"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

int cli_print_json(struct cli *cli, const ProtobufCMessage *m, int status)
{
	owned_str *json = json_of_message(m);
	owned_buffer line = {0};
	struct error err = {0};

	if (json && buffer_printf(&line, "%s\n", json) == 0)
		return cli_print(cli, &line, status);
	(void)error_set(&err, ENOMEM, "write the answer"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

const char *cli_word(const struct cli *cli, size_t index)
{
	return index < cli->words.count ? cli->words.at[index] : NULL;
}

int cli_default_state(char *out, size_t size, struct error *err)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int used;

	if (geteuid() == 0)
		used = snprintf(out, size, "/var/lib/cupel");
	else if (xdg && *xdg == '/')
		used = snprintf(out, size, "%s/cupel", xdg);
	else if (home && *home == '/')
		used = snprintf(out, size, "%s/.local/state/cupel", home);
	else
		return error_say(err, EINVAL, "there is no HOME to keep state in: say --state DIR");
	if (used < 0 || (size_t)used >= size)
		return error_say(err, EINVAL, "the path of the state directory is too long");
	return 0;
}

/* --- from words to a command
 * -------------------------------------------------------------------------- */

static const struct option_row help_rows[] = {
	{"help", 'h', OPTION_FLAG, NULL, "tell about this command", offsetof(struct cli, help)},
};

static const struct option_row asking_rows[] = {
	{"dispatcher", 0, OPTION_TEXT, "ADDRESS", "unix:PATH or HOST:PORT (or CUPEL_DISPATCHER)",
	 offsetof(struct cli, dispatcher)},
	{"token", 0, OPTION_TEXT, "FILE", "the join token, for HOST:PORT (or CUPEL_TOKEN)",
	 offsetof(struct cli, token)},
	{"json", 0, OPTION_FLAG, NULL, "print JSON, for programs", offsetof(struct cli, json)},
};

const struct option_set cli_common_sets[] = {
	{asking_rows, sizeof(asking_rows) / sizeof(asking_rows[0]), NULL},
	{help_rows, sizeof(help_rows) / sizeof(help_rows[0]), NULL},
};

static int check_words(const struct command *command, const struct cli *cli, struct error *err)
{
	if (cli->words.count < command->words_min)
		return error_say(err, EINVAL, "something is missing: cupel %s %s", command->name,
				 command->synopsis);
	if (cli->words.count > command->words_max)
		return error_say(err, EINVAL, "\"%s\" is one word too many: cupel %s %s",
				 cli->words.at[command->words_max], command->name,
				 command->synopsis);
	return 0;
}

static int parse(const struct command *command, struct cli *cli, void *values, struct error *err)
{
	struct option_set sets[] = {
		{command->options, command->options_count, values},
		{help_rows, sizeof(help_rows) / sizeof(help_rows[0]), cli},
		{asking_rows, sizeof(asking_rows) / sizeof(asking_rows[0]), cli},
	};
	int rc = options_parse(sets, command->asks ? 3 : 2, cli->argc, cli->argv, &cli->words, err);

	if (rc < 0 || cli->help)
		return rc;
	return check_words(command, cli, err);
}

static int run_command(const struct command *command, struct cli *cli)
{
	owned_str *values = calloc(1, command->values_size + 1);
	struct error err = {0};

	if (!values) {
		(void)error_set(&err, ENOMEM, "start"); /* the code is for cli_fail */
		return cli_fail(cli, &err);
	}
	if (command->passes)
		return command->run(cli, values);
	if (parse(command, cli, values, &err) < 0)
		return cli_usage(cli, command, &err);
	if (cli->help)
		return help_command(cli, command);
	return command->run(cli, values);
}

static int unknown_command(struct cli *cli, const char *name)
{
	const char *names[64], *nearest;
	struct error err = {0};

	for (size_t i = 0; i < commands_count; i++)
		names[i] = commands[i]->name;
	nearest = options_nearest(name, names, commands_count);
	(void)error_say(&err, EINVAL, "there is no %s %s%s%s%s",
			*name == '-' ? "option" : "command", name, nearest ? "; is it " : "",
			nearest ? nearest : "", nearest ? "?" : "");
	return cli_usage(cli, NULL, &err);
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {0};
	const char *name = argc > 1 ? argv[1] : "help";
	const struct command *command;

	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* widths of characters; without it they are all 1 */
	(void)signal(SIGPIPE, SIG_IGN);       /* terminal_write() does what it would have done */
	terminal_open(&cli.out, STDOUT_FILENO);
	terminal_open(&cli.err, STDERR_FILENO);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	command = command_find(name);
	if (!command)
		return unknown_command(&cli, name);
	cli.argc = argc > 2 ? argc - 2 : 0;
	cli.argv = argv + (argc > 2 ? 2 : 1);
	return run_command(command, &cli);
}
