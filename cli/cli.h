/* cli.h - what every subcommand is, and what it is given. One file a subcommand; commands.c has the
 * table. */
#pragma once

#include "base/error.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "proto/message.h"

/* Exit statuses beside 0 to 5, which are verdicts (format.h): those of sysexits(3), so that no
 * failure is ever taken for a verdict. */
#define STATUS_USAGE       64
#define STATUS_NOT_THERE   66 /* no such run, job, repository */
#define STATUS_UNAVAILABLE 69 /* no dispatcher, or the connection was lost */
#define STATUS_FAILED      70
#define STATUS_FORBIDDEN   77

struct cli {
	const char *dispatcher, *token; /* as the options say; NULL: not said */
	bool json, help;
	struct option_words words;
	struct terminal out, err;
	int argc; /* of a command that passes its words on */
	char **argv;
};

struct command {
	const char *name;
	const char *synopsis; /* its words, for help: "RUN [JOB]" */
	const char *summary;  /* a line */
	const char *details;  /* for its own help; NULL: nothing more to say */
	const struct option_row *options;
	size_t options_count;
	size_t values_size; /* of the struct that they fill */
	size_t words_min, words_max;
	bool asks;   /* a dispatcher: takes --dispatcher, --token and --json, too */
	bool passes; /* its words on to another program, unread */
	int (*run)(struct cli *cli, void *values); /* the exit status */
};

extern const struct command *const commands[];
extern const size_t commands_count;
const struct command *command_find(const char *name);

/* The whole program. */
int cli_main(int argc, char **argv);

/* Tells the failure on stderr and gives the exit status that fits. */
int cli_fail(struct cli *cli, const struct error *err);
int cli_usage(struct cli *cli, const struct command *command, const struct error *err);

/* Writes what is to be read on stdout; the exit status: `status`, unless that failed. */
int cli_print(struct cli *cli, const struct buffer *text, int status);
/* A message as one line of JSON. */
int cli_print_json(struct cli *cli, const ProtobufCMessage *m, int status);

/* The word at `index`, NULL when there are fewer. */
const char *cli_word(const struct cli *cli, size_t index);

/* Where Cupel keeps its state when nobody says otherwise. */
int cli_default_state(char *out, size_t size, struct error *err);
