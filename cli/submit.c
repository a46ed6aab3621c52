#include "cli/subcommands.h"

#include "cli/repository.h"

#include <assert.h>
#include <stdio.h>

struct values {
	const char *name, *ref, *delivery;
	bool wait;
};

static const struct option_row rows[] = {
	{"wait", 'w', OPTION_FLAG, NULL, "wait for the verdict; the exit status tells it",
	 offsetof(struct values, wait)},
	{"name", 0, OPTION_TEXT, "NAME", "the repository's name for people",
	 offsetof(struct values, name)},
	{"ref", 0, OPTION_TEXT, "REF", "the branch or tag that the run is shown with",
	 offsetof(struct values, ref)},
	{"delivery", 0, OPTION_TEXT, "ID",
	 "the same again is the same run: for scripts that repeat",
	 offsetof(struct values, delivery)},
};

static int submit(struct client *c, const struct values *v, const struct repository *r,
		  const char *revision, Cupel__Submitted **out, struct error *err)
{
	Cupel__Submit wish = CUPEL__SUBMIT__INIT;
	ProtobufCMessage *m;
	int rc;

	wish.repository = (char *)r->place;
	wish.name = (char *)(v->name ? v->name : r->name);
	wish.revision = (char *)(revision ? revision : "HEAD");
	wish.ref = (char *)(v->ref ? v->ref : revision ? "" : r->ref);
	wish.delivery = (char *)(v->delivery ? v->delivery : "");
	rc = client_ask(c, FRAME_SUBMIT, &wish.base, FRAME_SUBMITTED, &m, err);
	if (rc == 0)
		*out = (Cupel__Submitted *)m;
	return rc;
}

static int tell(struct cli *cli, const Cupel__Submitted *answer)
{
	owned_buffer text = {0};
	struct error err = {0};

	if (cli->json)
		return cli_print_json(cli, &answer->base, 0);
	if (buffer_printf(&text, "%llu\n", (unsigned long long)answer->run) == 0)
		return cli_print(cli, &text, 0);
	(void)error_set(&err, ENOMEM, "tell the run"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	owned(client) *c = NULL;
	Cupel__Submitted *answer = NULL;
	struct repository r;
	struct error err = {0};
	int status = 0;

	if (client_open(cli, CUPEL__ROLE__ROLE_SUBMITTER, &c, &err) < 0 ||
	    repository_find(cli_word(cli, 0), &r, &err) < 0 ||
	    submit(c, v, &r, cli_word(cli, 1), &answer, &err) < 0)
		return cli_fail(cli, &err);
	assert(answer);             /* submit() went well */
	if (!v->wait || !cli->json) /* with both, it is one object that is printed: the run */
		status = tell(cli, answer);
	if (v->wait && status == 0)
		status = wait_for_run(cli, c, answer->run);
	message_free(&answer->base);
	return status;
}

const struct command command_submit = {
	.name = "submit",
	.synopsis = "[REPO [REV]]",
	.summary = "tests a commit now; prints the run's number",
	.details =
		"REPO is a path or a URL that the runners can read; without it, the repository around the\n"
		"current directory. REV is a branch, a tag or a commit's id, HEAD without it; a runner looks\n"
		"it up, so the verdict tells when there is none. What isn't committed isn't tested: for that\n"
		"there is `cupel run`.",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_max = 2,
	.asks = true,
	.run = run,
};
