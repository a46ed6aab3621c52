#include "cli/subcommands.h"

#include "base/clock.h"
#include "base/units.h"
#include "cli/format.h"
#include "cli/table.h"

#include <stdio.h>

static const struct table_column columns[] = {
	{"RUNNER", .cut = true},
	{"STATE"},
	{"SLOTS"},
	{"CPUS"},
	{"MEMORY"},
	{"TASKS"},
	{"LABELS", .cut = true},
	{"SEEN", .right = true},
	{"SOFTWARE"},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

#define CELL 80 /* bytes: two short forms and a word */

static const char *state_of(const Cupel__Runner *r)
{
	if (!r->connected)
		return "away";
	return r->draining ? "draining" : *r->pressure ? "full" : r->n_jobs ? "busy" : "idle";
}

static enum style style_of(const Cupel__Runner *r)
{
	if (!r->connected)
		return STYLE_BAD;
	return r->draining || *r->pressure ? STYLE_BROKEN : STYLE_GOOD;
}

static void free_of(char out[CELL], const char *unused, const char *all)
{
	(void)snprintf(out, CELL, "%.31s of %.31s", unused, all); /* fits */
}

struct cells {
	char slots[CELL], cpus[CELL], memory[CELL], tasks[CELL], seen[FORMAT_SHORT];
};

/* "" for what the owner hasn't limited. */
static void fill(const Cupel__Runner *r, struct cells *c)
{
	static const Cupel__Capacity nothing = CUPEL__CAPACITY__INIT;
	const Cupel__Capacity *all = r->capacity ? r->capacity : &nothing;
	const Cupel__Capacity *left = r->unused ? r->unused : all;
	char a[FORMAT_SHORT], b[FORMAT_SHORT];

	*c = (struct cells){0};
	(void)snprintf(c->slots, CELL, "%u of %u", left->slots, all->slots); /* fits */
	if (all->cpu_milli) {
		format_milli(left->cpu_milli, a);
		format_milli(all->cpu_milli, b);
		free_of(c->cpus, a, b);
	}
	if (all->memory) {
		units_format_size(left->memory, a, sizeof(a));
		units_format_size(all->memory, b, sizeof(b));
		free_of(c->memory, a, b);
	}
	if (all->tasks)
		(void)snprintf(c->tasks, CELL, "%llu of %llu", (unsigned long long)left->tasks,
			       (unsigned long long)all->tasks); /* fits */
	format_age(clock_wall_ms(), r->seen_at_ms, c->seen);
}

static int add_jobs(const Cupel__Runner *r, struct table *t)
{
	int rc = *r->pressure ? table_note(t, STYLE_BROKEN, r->pressure) : 0;

	for (size_t i = 0; i < r->n_jobs && rc == 0; i++) {
		const Cupel__RunnerJob *j = r->jobs[i];
		char text[512], used[FORMAT_SHORT] = "";

		if (j->usage && j->usage->wall_ms)
			units_format_time(j->usage->wall_ms / 1000 * 1000, used, sizeof(used));
		(void)snprintf(text, sizeof(text), "run %llu %s: %s%s%s",
			       (unsigned long long)j->run, j->job_name, state_word(j->state),
			       *used ? " for " : "", used); /* cut */
		rc = table_note(t, STYLE_LIVE, text);
	}
	return rc;
}

static int add_runner(const Cupel__Runner *r, struct table *t)
{
	owned_buffer labels = {0};
	struct cells c;
	int rc = buffer_append(&labels, "", 0);

	for (size_t i = 0; i < r->n_labels && rc == 0; i++)
		rc = buffer_printf(&labels, "%s%s", i ? "," : "", r->labels[i]);
	if (rc < 0)
		return rc;
	fill(r, &c);
	rc = table_add(t, (const struct table_cell[COLUMNS]){
				  {r->name, STYLE_BOLD},
				  {state_of(r), style_of(r)},
				  {c.slots, STYLE_PLAIN},
				  {c.cpus, STYLE_PLAIN},
				  {c.memory, STYLE_PLAIN},
				  {c.tasks, STYLE_PLAIN},
				  {labels.data, STYLE_PLAIN},
				  {c.seen, STYLE_PLAIN},
				  {r->software, STYLE_DIM},
			  });
	return rc == 0 ? add_jobs(r, t) : rc;
}

static int print(struct cli *cli, const Cupel__RunnerList *list)
{
	owned(table) *t = table_new(columns, COLUMNS, 0);
	owned_buffer text = {0};
	int rc = t ? 0 : -ENOMEM;

	if (cli->json)
		return cli_print_json(cli, &list->base, 0);
	for (size_t i = 0; i < list->n_runners && rc == 0; i++)
		rc = add_runner(list->runners[i], t);
	if (rc == 0 && list->n_runners)
		rc = table_print(t, cli->out.width, cli->out.colour, &text);
	else if (rc == 0 && cli->out.tty)
		rc = buffer_printf(&text, "no runner has ever joined\n");
	return cli_print(cli, &text, rc < 0 ? STATUS_FAILED : 0);
}

static int run(struct cli *cli, void *values)
{
	Cupel__RunnersRequest wish = CUPEL__RUNNERS_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};
	ProtobufCMessage *m;
	int status;

	(void)values;
	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    client_ask(c, FRAME_RUNNERS, &wish.base, FRAME_RUNNER_LIST, &m, &err) < 0)
		return cli_fail(cli, &err);
	status = print(cli, (const Cupel__RunnerList *)m);
	message_free(m);
	return status;
}

const struct command command_runners = {
	.name = "runners",
	.synopsis = "",
	.summary = "the runners: what they have left, what they are doing",
	.asks = true,
	.run = run,
};
