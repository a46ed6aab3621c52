#include "cli/subcommands.h"

#include "cli/told.h"

#include <string.h>

struct values {
	const char *role;
	bool replace, revoke;
};

static const struct option_row rows[] = {
	{"role", 0, OPTION_TEXT, "ROLE", "runner, observer, submitter, reader or admin",
	 offsetof(struct values, role)},
	{"replace", 0, OPTION_FLAG, NULL, "of a name that has a token: make the old one void",
	 offsetof(struct values, replace)},
	{"revoke", 0, OPTION_FLAG, NULL, "make its token worthless",
	 offsetof(struct values, revoke)},
};

static int print(struct cli *cli, const Cupel__Token *token)
{
	static const char hint[] =
		"It is shown only now, and whoever has it may do what its role says: write it to a file "
		"of mode 0600\nand name that with --token.\n";
	owned_buffer text = {0};
	int status;

	if (cli->json)
		return cli_print_json(cli, &token->base, 0);
	if (buffer_printf(&text, "%s\n", token->token) < 0)
		return STATUS_FAILED; /* no memory to say more */
	status = cli_print(cli, &text, 0);
	explicit_bzero(text.data, text.length);
	if (cli->err.tty)
		(void)terminal_write(&cli->err, hint, sizeof(hint) - 1); /* only a convenience */
	return status;
}

static int ask_token(struct cli *cli, struct client *c, const Cupel__Enroll *wish)
{
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	if (client_ask(c, FRAME_ENROLL, &wish->base, FRAME_TOKEN, &m, &err) < 0)
		return cli_fail(cli, &err);
	status = print(cli, (const Cupel__Token *)m);
	message_free(m);
	return status;
}

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	Cupel__Enroll wish = CUPEL__ENROLL__INIT;
	owned(client) *c = NULL;
	struct error err = {0};

	wish.name = (char *)cli_word(cli, 0);
	wish.revoke = v->revoke;
	wish.replace = v->replace;
	wish.role = v->role ? role_from_word(v->role) : CUPEL__ROLE__ROLE_NONE;
	if (!v->revoke && wish.role == CUPEL__ROLE__ROLE_NONE) {
		(void)error_say(&err, EINVAL,
				"--role wants one of runner, observer, submitter, reader, admin");
		return cli_usage(cli, &command_enroll, &err);
	}
	if (client_open(cli, CUPEL__ROLE__ROLE_ADMIN, &c, &err) < 0)
		return cli_fail(cli, &err);
	return v->revoke ? told(cli, c, FRAME_ENROLL, &wish.base) : ask_token(cli, c, &wish);
}

const struct command command_enroll = {
	.name = "enroll",
	.synopsis = "NAME",
	.summary = "makes a join token, for another box or another user",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_min = 1,
	.words_max = 1,
	.asks = true,
	.run = run,
};
