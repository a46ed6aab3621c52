#include "cli/subcommands.h"

#include "cli/escape.h"
#include "cli/find.h"
#include "cli/lines.h"

#include <stdio.h>
#include <string.h>

struct values {
	bool follow, raw;
	uint64_t attempt;
};

static const struct option_row rows[] = {
	{"follow", 'f', OPTION_FLAG, NULL,
	 "wait for what is still to come, until the job has ended",
	 offsetof(struct values, follow)},
	{"attempt", 0, OPTION_COUNT, "N", "of this attempt, not the newest",
	 offsetof(struct values, attempt)},
	{"raw", 0, OPTION_FLAG, NULL, "on a terminal too: every byte as the job wrote it",
	 offsetof(struct values, raw)},
};

/* One log on its way to stdout. A blocked stdout blocks us, and so the dispatcher's side of the
 * connection: memory stays as it is, however long the log. */
struct reading {
	struct cli *cli;
	Cupel__Tail wish; /* moves on with what was read, so that it can be sent again */
	struct filter filter;
	struct lines lines;
	bool filtered;
	struct buffer shown; /* what became of the bytes, kept for its memory */
};

#define PIECE 4096 /* bytes: a line of JSON is that much longer than a log's */

static int write_shown(struct reading *r)
{
	int rc = r->shown.length ? terminal_write(&r->cli->out, r->shown.data, r->shown.length) : 0;

	buffer_clear(&r->shown);
	return rc;
}

static int show_lines(struct reading *r, const uint8_t *bytes, size_t length)
{
	int rc = 0;

	for (size_t at = 0; at < length && rc == 0; at += PIECE) {
		rc = lines_feed(&r->lines, bytes + at, length - at < PIECE ? length - at : PIECE,
				&r->shown);
		if (rc == 0)
			rc = write_shown(r);
	}
	return rc;
}

static int show(struct reading *r, const uint8_t *bytes, size_t length, struct error *err)
{
	int rc;

	if (r->cli->json) {
		rc = show_lines(r, bytes, length);
	} else if (r->filtered) {
		rc = filter_feed(&r->filter, bytes, length, &r->shown);
		if (rc == 0)
			rc = write_shown(r);
	} else {
		rc = length ? terminal_write(&r->cli->out, bytes, length) : 0;
	}
	return rc < 0 ? error_set(err, -rc, "write the log") : 0;
}

/* What was held back for the rest of it. */
static int show_end(struct reading *r)
{
	int rc = r->cli->json ? lines_end(&r->lines, &r->shown) : filter_end(&r->filter, &r->shown);

	return rc == 0 ? write_shown(r) : rc;
}

static int on_log(struct reading *r, const struct frame *frame, struct error *err)
{
	struct log_head head;
	const uint8_t *bytes;
	size_t length;

	if (log_head_parse(frame->payload, frame->length, &head, &bytes, &length) < 0)
		return error_say(err, EBADMSG, "the dispatcher sent a log frame without a head");
	if (head.offset != r->wish.offset)
		return error_say(err, EBADMSG, "the dispatcher sent byte %llu of the log, not %llu",
				 (unsigned long long)head.offset,
				 (unsigned long long)r->wish.offset);
	r->wish.epoch = head.epoch; /* after a break: of the same attempt */
	r->lines.attempt = head.epoch;
	r->wish.offset += length;
	return show(r, bytes, length, err) < 0 ? -err->code : 1;
}

static int on_end(struct reading *r, const struct frame *frame, struct error *err)
{
	ProtobufCMessage *m;
	uint64_t length;

	if (message_unpack(frame, &m, err) < 0)
		return -err->code;
	length = ((Cupel__TailEnd *)m)->length;
	message_free(m);
	if (length != r->wish.offset)
		return error_say(err, EIO, "the log ends at %llu, and only %llu bytes came",
				 (unsigned long long)length, (unsigned long long)r->wish.offset);
	return 0;
}

static int on_frame(void *context, const struct frame *frame, struct error *err)
{
	if (frame->type == FRAME_LOG)
		return on_log(context, frame, err);
	return frame->type == FRAME_TAIL_END ? on_end(context, frame, err) : 1;
}

/* Who follows does so through restarts of the dispatcher. */
static int read_log(struct client *c, struct reading *r, struct error *err)
{
	int rc;

	for (;;) {
		rc = client_stream(c, FRAME_TAIL, &r->wish.base, on_frame, r, err);
		if (rc != -ENOTCONN)
			return rc;
		*err = (struct error){0};
		rc = client_again(c, err);
		if (rc < 0)
			return rc;
	}
}

static int read_job(struct cli *cli, struct client *c, const struct values *v,
		    const Cupel__Job *job, struct error *err)
{
	struct reading r = {.cli = cli, .lines = {.job = job->name}};
	int rc, end;

	r.filtered = cli->out.tty && !v->raw;
	cupel__tail__init(&r.wish);
	r.wish.job = job->id;
	r.wish.epoch = (uint32_t)v->attempt;
	r.wish.follow = v->follow;
	rc = read_log(c, &r, err);
	end = show_end(&r);
	lines_done(&r.lines);
	buffer_done(&r.shown);
	return rc == 0 && end < 0 ? error_set(err, -end, "write the log") : rc;
}

/* --- which jobs
 * ------------------------------------------------------------------------------------- */

/* The run, once its jobs are known. */
static int on_run(void *context, const struct frame *frame, struct error *err)
{
	Cupel__Run **out = context;
	ProtobufCMessage *m;

	if (frame->type != FRAME_RUN)
		return 1;
	if (message_unpack(frame, &m, err) < 0)
		return -err->code;
	message_free(*out ? &(*out)->base : NULL);
	*out = (Cupel__Run *)m;
	return (*out)->n_jobs < 2 && !(*out)->verdict;
}

static int get_run(struct client *c, uint64_t id, bool follow, Cupel__Run **out, struct error *err)
{
	Cupel__RunRequest wish = CUPEL__RUN_REQUEST__INIT;
	ProtobufCMessage *m = NULL;
	int rc;

	wish.run = id;
	if (follow)
		return client_stream(c, FRAME_WATCH, &wish.base, on_run, out, err);
	rc = client_ask(c, FRAME_GET, &wish.base, FRAME_RUN, &m, err);
	*out = (Cupel__Run *)m;
	return rc;
}

static bool is_wanted(const Cupel__Run *run, const Cupel__Job *job, const char *name)
{
	if (name)
		return strcmp(job->name, name) == 0;
	return job->kind != CUPEL__KIND__KIND_PLAN || run->n_jobs == 1;
}

static int no_job(const Cupel__Run *run, const char *name, struct error *err)
{
	owned_buffer names = {0};
	int rc = buffer_append(&names, "", 0);

	for (size_t i = 0; i < run->n_jobs && rc == 0; i++)
		rc = buffer_printf(&names, "%s%s", i ? ", " : "", run->jobs[i]->name);
	return error_say(err, ENOENT, "run %llu has no job %s; it has %s",
			 (unsigned long long)run->id, name,
			 rc == 0 && names.length ? names.data : "none");
}

/* As tail(1) does with several files. */
static int put_title(struct cli *cli, const char *name, bool first, struct error *err)
{
	owned_buffer line = {0};
	int rc = buffer_printf(&line, "%s==> ", first ? "" : "\n");

	if (rc == 0)
		rc = escape_text(&line, name);
	if (rc == 0)
		rc = buffer_printf(&line, " <==\n");
	if (rc == 0)
		rc = terminal_write(&cli->out, line.data, line.length);
	return rc < 0 ? error_set(err, -rc, "write the log") : 0;
}

static bool has_log(const Cupel__Job *job, const struct values *v)
{
	return job->n_attempts || (v->follow && job->state != CUPEL__STATE__STATE_ENDED);
}

static int read_jobs(struct cli *cli, struct client *c, const struct values *v,
		     const Cupel__Run *run, struct error *err)
{
	const char *name = cli_word(cli, 1);
	size_t wanted = 0, shown = 0;
	int rc = 0;

	for (size_t i = 0; i < run->n_jobs; i++)
		wanted += is_wanted(run, run->jobs[i], name);
	if (!wanted)
		return no_job(run, name ? name : "yet", err);
	for (size_t i = 0; i < run->n_jobs && rc == 0; i++) {
		const Cupel__Job *job = run->jobs[i];

		if (!is_wanted(run, job, name) || (wanted > 1 && !has_log(job, v)))
			continue;
		if (wanted > 1 && !cli->json)
			rc = put_title(cli, job->name, shown++ == 0, err);
		if (rc == 0)
			rc = read_job(cli, c, v, job, err);
	}
	return rc;
}

static int run(struct cli *cli, void *values)
{
	const struct values *v = values;
	owned(client) *c = NULL;
	Cupel__Run *shown = NULL;
	struct error err = {0};
	uint64_t id;
	int rc;

	rc = client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err);
	if (rc == 0)
		rc = find_run(c, cli_word(cli, 0), &id, &err);
	if (rc == 0)
		rc = get_run(c, id, v->follow, &shown, &err);
	if (rc == 0)
		rc = read_jobs(cli, c, v, shown, &err);
	message_free(shown ? &shown->base : NULL);
	return rc < 0 ? cli_fail(cli, &err) : 0;
}

const struct command command_log = {
	.name = "log",
	.synopsis = "RUN [JOB]",
	.summary = "what a job printed",
	.details =
		"Into a file or a pipe, every byte as the job wrote it; on a terminal text and colours only\n"
		"(--raw: all). Without JOB, the logs of all jobs of the run, each under a title if there are\n"
		"several. With --json, an object for each line: job, attempt, stream (\"output\": standard\n"
		"output and error are one), offset, and text with its end of line.",
	.options = rows,
	.options_count = sizeof(rows) / sizeof(rows[0]),
	.values_size = sizeof(struct values),
	.words_min = 1,
	.words_max = 2,
	.asks = true,
	.run = run,
};
