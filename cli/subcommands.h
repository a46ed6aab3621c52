/* subcommands.h - what the files of the subcommands offer the table, and each other. */
#pragma once

#include "cli/cli.h"
#include "cli/client.h"

extern const struct command command_up, command_submit, command_list, command_show, command_wait,
	command_log, command_why, command_cancel, command_retry, command_runners, command_limits,
	command_drain, command_enroll, command_lint, command_run, command_doctor, command_help,
	command_version;

/* help.c: what a command's own help says. */
int help_command(struct cli *cli, const struct command *command);

/* commands.c: the options that all commands which ask a dispatcher have, and those of all; for
 * help. */
extern const struct option_set cli_common_sets[2];

/* wait.c: waits for the run's verdict and tells it; the exit status. Comes back to a dispatcher
 * that is restarted meanwhile. */
int wait_for_run(struct cli *cli, struct client *c, uint64_t run);
