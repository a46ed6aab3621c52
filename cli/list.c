#include "cli/subcommands.h"

#include "base/clock.h"
#include "cli/picture.h"

#include <stdio.h>
#include <string.h>

struct values {
	const char *repository, *ref;
	uint64_t limit, before;
	bool live;
};

static const struct option_row rows[] = {
	{"repository", 'r', OPTION_TEXT, "NAME", "only of this one, by its name, path or URL",
	 offsetof(struct values, repository)},
	{"ref", 0, OPTION_TEXT, "REF", "only of this branch, or refs/tags/NAME",
	 offsetof(struct values, ref)},
	{"live", 'l', OPTION_FLAG, NULL, "only those without a verdict",
	 offsetof(struct values, live)},
	{"limit", 'n', OPTION_COUNT, "N", "so many at most (20)", offsetof(struct values, limit)},
	{"before", 0, OPTION_COUNT, "RUN", "only older ones than this",
	 offsetof(struct values, before)},
};

#define LIMIT 20

static int print(struct cli *cli, const Cupel__Runs *runs)
{
	const struct picture p = {cli->out.width, cli->out.colour, clock_wall_ms()};
	owned_buffer text = {0};
	struct error err = {0};

	if (cli->json)
		return cli_print_json(cli, &runs->base, 0);
	if (runs->n_runs == 0)
		return cli->out.tty && buffer_printf(&text, "no runs\n") == 0
			       ? cli_print(cli, &text, 0)
			       : 0;
	if (picture_runs(&p, runs, &text) == 0)
		return cli_print(cli, &text, 0);
	(void)error_set(&err, ENOMEM, "show the runs"); /* the code is for cli_fail */
	return cli_fail(cli, &err);
}

/* "main" is a branch. */
static int full_ref(const char *ref, char out[MESSAGE_REF_MAX])
{
	const char *prefix = !*ref || strncmp(ref, "refs/", 5) == 0 ? "" : "refs/heads/";

	return snprintf(out, MESSAGE_REF_MAX, "%s%s", prefix, ref) < MESSAGE_REF_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

static int run(struct cli *cli, void *values)
{
	struct values *v = values;
	Cupel__List wish = CUPEL__LIST__INIT;
	owned(client) *c = NULL;
	char ref[MESSAGE_REF_MAX];
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	if (full_ref(v->ref ? v->ref : "", ref) < 0) {
		(void)error_say(&err, EINVAL, "the ref is too long"); /* the code is for cli_fail */
		return cli_fail(cli, &err);
	}
	wish.repository = (char *)(v->repository ? v->repository : "");
	wish.ref = ref;
	wish.limit = (uint32_t)(v->limit > UINT32_MAX ? UINT32_MAX : v->limit ? v->limit : LIMIT);
	wish.before = v->before;
	wish.live = v->live;
	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    client_ask(c, FRAME_LIST, &wish.base, FRAME_RUNS, &m, &err) < 0)
		return cli_fail(cli, &err);
	status = print(cli, (const Cupel__Runs *)m);
	message_free(m);
	return status;
}

const struct command command_list = {
	.name = "list",
	.synopsis = "",
	.summary = "the newest runs",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.asks = true,
	.run = run,
};
