#include "cli/picture.h"

#include "base/units.h"
#include "cli/escape.h"
#include "cli/format.h"
#include "cli/table.h"
#include "proto/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CELL 48 /* bytes: "64M of 64M" */

static int styled(const struct picture *p, struct buffer *out, enum style style, const char *text)
{
	int rc = style_on(out, style, p->colour);

	if (rc == 0)
		rc = escape_text(out, text);
	return rc == 0 ? style_off(out, style, p->colour) : rc;
}

/* --- one line
 * --------------------------------------------------------------------------------------- */

int picture_verdict(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	char commit[FORMAT_SHORT], took[FORMAT_SHORT];
	int rc = buffer_printf(out, "run %llu ", (unsigned long long)run->id);

	format_commit(run->commit, commit);
	units_format_time(format_took_ms(run), took, sizeof(took));
	if (rc == 0)
		rc = styled(p, out, style_of_verdict(run->verdict), format_run_word(run));
	if (rc == 0)
		rc = buffer_printf(out, " in %s: ", took);
	if (rc == 0)
		rc = escape_text(out, run->name);
	if (rc == 0)
		rc = buffer_append(out, " ", 1);
	if (rc == 0)
		rc = escape_text(out, format_run_ref(run));
	if (rc == 0)
		rc = buffer_printf(out, " %s%s", commit, *commit ? " " : "");
	if (rc == 0)
		rc = escape_text(out, run->subject);
	if (rc == 0 && run->verdict != CUPEL__VERDICT__VERDICT_PASSED && *run->reason) {
		rc = buffer_append(out, "\n    ", 5);
		if (rc == 0)
			rc = escape_text(out, run->reason);
	}
	return rc == 0 ? buffer_append(out, "\n", 1) : rc;
}

static const Cupel__AttemptInfo *newest(const Cupel__Job *job)
{
	return job->n_attempts ? job->attempts[job->n_attempts - 1] : NULL;
}

int picture_progress(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	char took[FORMAT_SHORT];
	size_t ended = 0;
	int rc;

	units_format_time(format_run_ms(run, p->now_ms) / 1000 * 1000, took, sizeof(took));
	rc = buffer_printf(out, "run %llu, %s:", (unsigned long long)run->id, took);
	for (size_t i = 0; i < run->n_jobs && rc == 0; i++) {
		const Cupel__Job *job = run->jobs[i];
		const Cupel__AttemptInfo *a = newest(job);

		ended += job->state == CUPEL__STATE__STATE_ENDED &&
			 job->kind == CUPEL__KIND__KIND_JOB;
		if (job->state == CUPEL__STATE__STATE_ENDED)
			continue;
		rc = buffer_append(out, " ", 1);
		if (rc == 0)
			rc = escape_text(out, job->name);
		if (rc == 0)
			rc = buffer_printf(out, " %s", state_word(job->state));
		if (rc == 0 && a && job->state > CUPEL__STATE__STATE_QUEUED) {
			rc = buffer_printf(out, " on ");
			if (rc == 0)
				rc = escape_text(out, a->runner);
		}
		if (rc == 0)
			rc = buffer_append(out, ",", 1);
	}
	if (rc == 0 && out->length)
		out->data[--out->length] = '\0'; /* the last comma, or the colon */
	return rc == 0 && ended ? buffer_printf(out, "; %zu ended", ended) : rc;
}

/* --- the list
 * --------------------------------------------------------------------------------------- */

static const struct table_column run_columns[] = {
	{"RUN", .right = true},
	{"VERDICT"},
	{"REPOSITORY", .cut = true},
	{"REF", .cut = true},
	{"COMMIT"},
	{"SUBJECT", .cut = true},
	{"AGE", .right = true},
	{"TOOK", .right = true},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int add_run(const struct picture *p, const Cupel__Run *run, struct table *t)
{
	char id[FORMAT_SHORT], commit[FORMAT_SHORT], age[FORMAT_SHORT], took[FORMAT_SHORT];
	const struct table_cell cells[COUNT(run_columns)] = {
		{id, STYLE_BOLD},         {format_run_word(run), style_of_verdict(run->verdict)},
		{run->name, STYLE_PLAIN}, {format_run_ref(run), STYLE_PLAIN},
		{commit, STYLE_DIM},      {*run->subject ? run->subject : run->reason, STYLE_PLAIN},
		{age, STYLE_PLAIN},       {took, STYLE_PLAIN},
	};

	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)run->id); /* fits */
	format_commit(run->commit, commit);
	format_age(p->now_ms, run->created_at_ms, age);
	units_format_time(format_took_ms(run), took, sizeof(took));
	return table_add(t, cells);
}

int picture_runs(const struct picture *p, const Cupel__Runs *runs, struct buffer *out)
{
	owned(table) *t = table_new(run_columns, COUNT(run_columns), 0);
	int rc = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < runs->n_runs && rc == 0; i++)
		rc = add_run(p, runs->runs[i], t);
	return rc == 0 ? table_print(t, p->width, p->colour, out) : rc;
}

/* --- all of a run
 * ----------------------------------------------------------------------------------- */

static const struct table_column job_columns[] = {
	{"JOB", .cut = true},
	{"VERDICT"},
	{"ATTEMPT", .right = true},
	{"RUNNER", .cut = true},
	{"WALL"},
	{"CPU"},
	{"MEMORY"},
	{"TASKS"},
	{"OUTPUT"},
};

/* "1.43s of 1m", "1.43s" without a limit, "" without either. */
static void use_of(char out[CELL], const char *used, const char *limit)
{
	if (*limit)
		(void)snprintf(out, CELL, "%s of %s", used, limit);
	else
		(void)snprintf(out, CELL, "%s", used);
}

static void time_of(uint64_t used, uint64_t limit, char out[CELL])
{
	char a[FORMAT_SHORT], b[FORMAT_SHORT] = "";

	units_format_time(used, a, sizeof(a));
	if (limit)
		units_format_time(limit, b, sizeof(b));
	use_of(out, a, b);
}

static void size_of(uint64_t used, uint64_t limit, char out[CELL])
{
	char a[FORMAT_SHORT], b[FORMAT_SHORT] = "";

	units_format_size(used, a, sizeof(a));
	if (limit)
		units_format_size(limit, b, sizeof(b));
	use_of(out, a, b);
}

static void count_of(uint64_t used, uint64_t limit, char out[CELL])
{
	char a[FORMAT_SHORT], b[FORMAT_SHORT] = "";

	(void)snprintf(a, sizeof(a), "%llu", (unsigned long long)used); /* fits */
	if (limit)
		(void)snprintf(b, sizeof(b), "%llu", (unsigned long long)limit); /* fits */
	use_of(out, a, b);
}

/* What the attempt used, in the order of the columns from WALL on. */
struct usage_cells {
	char wall[CELL], cpu[CELL], memory[CELL], tasks[CELL], output[CELL];
};

static void fill_usage(const struct picture *p, const Cupel__AttemptInfo *a, struct usage_cells *c)
{
	static const Cupel__Usage no_usage = CUPEL__USAGE__INIT;
	static const Cupel__Limits no_limits = CUPEL__LIMITS__INIT;
	const Cupel__Usage *u = a->usage ? a->usage : &no_usage;
	const Cupel__Limits *l = a->granted ? a->granted : &no_limits;
	uint64_t now = p->now_ms > 0 ? (uint64_t)p->now_ms : 0;
	bool live = a->state != CUPEL__STATE__STATE_ENDED;

	*c = (struct usage_cells){0};
	if (live && a->started_at_ms && now > a->started_at_ms)
		time_of((now - a->started_at_ms) / 1000 * 1000, l->wall_ms, c->wall);
	if (live || !a->usage)
		return;
	time_of(u->wall_ms, l->wall_ms, c->wall);
	time_of(u->cpu_user_ms + u->cpu_system_ms, l->cpu_time_ms, c->cpu);
	/* No job is without memory and tasks: such a peak was not measured. */
	if (u->memory_peak)
		size_of(u->memory_peak, l->memory, c->memory);
	else
		use_of(c->memory, "-", "");
	if (u->tasks_peak)
		count_of(u->tasks_peak, l->tasks, c->tasks);
	else
		use_of(c->tasks, "-", "");
	size_of(u->output_bytes, l->output, c->output);
}

static enum style limit_style(const Cupel__AttemptInfo *a, const char *limit)
{
	return strcmp(a->limit, limit) == 0 ? STYLE_LIMIT : STYLE_PLAIN;
}

static int add_attempt(const struct picture *p, const Cupel__Job *job, const Cupel__AttemptInfo *a,
		       struct table *t)
{
	bool last = a == newest(job);
	bool now = last && job->state != CUPEL__STATE__STATE_ENDED;
	char epoch[FORMAT_SHORT];
	struct usage_cells u;
	const struct table_cell cells[COUNT(job_columns)] = {
		{a == job->attempts[0] ? job->name : "", STYLE_BOLD},
		{last         ? format_job_word(job)
		 : a->verdict ? verdict_word(a->verdict)
			      : state_word(a->state),
		 now ? STYLE_LIVE : style_of_verdict(last ? job->verdict : a->verdict)},
		{epoch, STYLE_PLAIN},
		{a->runner, STYLE_PLAIN},
		{u.wall, limit_style(a, "wall")},
		{u.cpu, limit_style(a, "cpu_time")},
		{u.memory, limit_style(a, "memory")},
		{u.tasks, limit_style(a, "tasks")},
		{u.output, limit_style(a, "output")},
	};

	(void)snprintf(epoch, sizeof(epoch), "%u", a->epoch); /* fits */
	fill_usage(p, a, &u);
	return table_add(t, cells);
}

static int note_denied(const Cupel__AttemptInfo *a, struct table *t)
{
	int rc = 0;

	for (size_t i = 0; i < a->n_denied && rc == 0; i++) {
		const Cupel__Denied *d = a->denied[i];
		char text[512];

		(void)snprintf(text, sizeof(text), "denied: %s, %llu time%s%s%s", d->name,
			       (unsigned long long)d->count, d->count == 1 ? "" : "s",
			       *d->hint ? "; " : "", d->hint); /* cut when too long */
		rc = table_note(t, STYLE_BROKEN, text);
	}
	return rc;
}

static int note_attempt(const Cupel__AttemptInfo *a, struct table *t)
{
	int rc = 0;

	if (*a->reason && a->verdict != CUPEL__VERDICT__VERDICT_PASSED)
		rc = table_note(t, STYLE_PLAIN, a->reason);
	if (rc == 0 && *a->late_result) {
		char text[MESSAGE_TEXT_MAX];

		(void)snprintf(text, sizeof(text), "later the runner said: %s",
			       a->late_result); /* cut */
		rc = table_note(t, STYLE_DIM, text);
	}
	return rc == 0 ? note_denied(a, t) : rc;
}

static int add_without_attempt(const Cupel__Job *job, struct table *t)
{
	const struct table_cell cells[COUNT(job_columns)] = {
		{job->name, STYLE_BOLD},
		{format_job_word(job), style_of_verdict(job->verdict)},
		{"", 0},
		{"", 0},
		{"", 0},
		{"", 0},
		{"", 0},
		{"", 0},
		{"", 0},
	};

	return table_add(t, cells);
}

static int add_job(const struct picture *p, const Cupel__Job *job, struct table *t)
{
	const Cupel__AttemptInfo *last = newest(job);
	int rc = last ? 0 : add_without_attempt(job, t);

	for (size_t i = 0; i < job->n_attempts && rc == 0; i++) {
		rc = add_attempt(p, job, job->attempts[i], t);
		if (rc == 0)
			rc = note_attempt(job->attempts[i], t);
	}
	/* The job's own sentence, where it isn't that of its last attempt. */
	if (rc == 0 && *job->reason && job->verdict != CUPEL__VERDICT__VERDICT_PASSED &&
	    (!last || strcmp(last->reason, job->reason) != 0))
		rc = table_note(t, STYLE_PLAIN, job->reason);
	if (rc == 0 && *job->waits_for)
		rc = table_note(t, STYLE_LIVE, job->waits_for);
	return rc;
}

/* The plan is worth a row only while it is all there is, or when it had to be tried again. */
static bool is_shown(const Cupel__Run *run, const Cupel__Job *job)
{
	return job->kind != CUPEL__KIND__KIND_PLAN || run->n_jobs == 1 || job->n_attempts > 1;
}

static int print_jobs(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	owned(table) *t = table_new(job_columns, COUNT(job_columns), 2);
	int rc = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < run->n_jobs && rc == 0; i++)
		if (is_shown(run, run->jobs[i]))
			rc = add_job(p, run->jobs[i], t);
	return rc == 0 ? table_print(t, p->width, p->colour, out) : rc;
}

static int print_line(const struct picture *p, struct buffer *out, const char *title,
		      const char *text)
{
	int rc = buffer_printf(out, "  ");

	if (rc == 0)
		rc = styled(p, out, STYLE_DIM, title);
	for (size_t i = strlen(title); i < 9 && rc == 0; i++)
		rc = buffer_append(out, " ", 1);
	if (rc == 0)
		rc = escape_text(out, text);
	return rc == 0 ? buffer_append(out, "\n", 1) : rc;
}

static int print_commit(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	owned_buffer text = {0};
	char commit[FORMAT_SHORT];
	int rc;

	format_commit(run->commit, commit);
	rc = buffer_printf(&text, "%s%s%s", *commit ? commit : run->revision,
			   *run->subject ? " " : "", run->subject);
	if (rc == 0 && *run->author)
		rc = buffer_printf(&text, ", by %s", run->author);
	return rc == 0 ? print_line(p, out, "commit", text.data) : rc;
}

static int print_times(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	char age[FORMAT_SHORT], took[FORMAT_SHORT], text[128];

	format_age(p->now_ms, run->created_at_ms, age);
	units_format_time(format_took_ms(run), took, sizeof(took));
	(void)snprintf(text, sizeof(text), "%s%s%s%s", age, strcmp(age, "now") == 0 ? "" : " ago",
		       run->verdict   ? ", took "
		       : run->took_ms ? ", at work for "
				      : "",
		       run->verdict || run->took_ms ? took : ""); /* fits */
	return print_line(p, out, "asked", text);
}

static int print_head(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	int rc = buffer_printf(out, "run %llu ", (unsigned long long)run->id);

	if (rc == 0)
		rc = styled(p, out, style_of_verdict(run->verdict), format_run_word(run));
	if (rc == 0)
		rc = buffer_append(out, "  ", 2);
	if (rc == 0)
		rc = styled(p, out, STYLE_BOLD, run->name);
	if (rc == 0)
		rc = buffer_append(out, " ", 1);
	if (rc == 0)
		rc = escape_text(out, format_run_ref(run));
	return rc == 0 ? buffer_append(out, "\n", 1) : rc;
}

/* The logs there are, by the command that shows them. */
static int print_logs(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	size_t count = 0;
	uint64_t bytes = 0;
	char size[FORMAT_SHORT], text[256];

	for (size_t i = 0; i < run->n_jobs; i++) {
		const Cupel__AttemptInfo *a = newest(run->jobs[i]);

		count += run->jobs[i]->kind == CUPEL__KIND__KIND_JOB;
		bytes += a && run->jobs[i]->kind == CUPEL__KIND__KIND_JOB ? a->log_length : 0;
	}
	if (!count)
		return 0;
	units_format_size(bytes, size, sizeof(size));
	(void)snprintf(text, sizeof(text), "%s%s: cupel log %llu%s", size,
		       bytes < 1024 ? " bytes" : "", (unsigned long long)run->id,
		       count > 1 ? " [JOB]" : ""); /* fits */
	return print_line(p, out, "log", text);
}

/* The run's sentence is that of one of its jobs, which stands below its row anyway. */
static bool reason_is_below(const Cupel__Run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (is_shown(run, run->jobs[i]) && *run->jobs[i]->reason &&
		    run->verdict != CUPEL__VERDICT__VERDICT_PASSED &&
		    strstr(run->reason, run->jobs[i]->reason))
			return true;
	return false;
}

int picture_run(const struct picture *p, const Cupel__Run *run, struct buffer *out)
{
	int rc = print_head(p, run, out);

	if (rc == 0)
		rc = print_commit(p, run, out);
	if (rc == 0)
		rc = print_times(p, run, out);
	if (rc == 0 && *run->reason && !reason_is_below(run))
		rc = print_line(p, out, "reason", run->reason);
	if (rc == 0)
		rc = print_logs(p, run, out);
	if (rc == 0)
		rc = buffer_append(out, "\n", 1);
	return rc == 0 ? print_jobs(p, run, out) : rc;
}
