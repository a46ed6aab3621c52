#include "dispatcher/store_inside.h"

#include <stdio.h>
#include <string.h>

/* --- jobs --------------------------------------------------------------- */

int store_job_add(struct store *s, const struct job_new *j, uint64_t *job)
{
	owned_buffer spec = {0};
	int rc = j->spec ? pack(&j->spec->base, &spec) : 0;

	if (rc < 0)
		return rc;
	rc = sql_exec(s->db, "insert into jobs(run, name, kind, state, spec) values(?, ?, ?, ?, ?)",
		      INT(j->run), TEXT(j->name), INT(j->kind), INT(j->state),
		      BLOB(spec.data, spec.length));
	*job = sql_last_id(s->db);
	return rc < 0 ? rc : 0;
}

int store_job_needs(struct store *s, uint64_t job, uint64_t needed)
{
	return sql_exec(s->db, "insert or ignore into needs(job, needed) values(?, ?)", INT(job),
			INT(needed));
}

#define JOB_COLUMNS "id, run, kind, state, verdict, epoch, urgent, avoid, name"

static void read_job(struct sql_query *q, struct job_row *out)
{
	*out = (struct job_row){
		.id = (uint64_t)sql_int(q, 0),
		.run = (uint64_t)sql_int(q, 1),
		.kind = (Cupel__Kind)sql_int(q, 2),
		.state = (Cupel__State)sql_int(q, 3),
		.verdict = (Cupel__Verdict)sql_int(q, 4),
		.epoch = (uint32_t)sql_int(q, 5),
		.urgent = sql_int(q, 6) != 0,
	};
	(void)snprintf(out->avoid, sizeof(out->avoid), "%s", sql_text(q, 7)); /* names fit */
	(void)snprintf(out->name, sizeof(out->name), "%s", sql_text(q, 8));
}

static void visit_jobs(struct sql_query *q, job_visit visit, void *context)
{
	struct job_row row;

	while (sql_row(q)) {
		read_job(q, &row);
		visit(context, &row);
	}
	sql_end(q);
}

int store_job(struct store *s, uint64_t job, struct job_row *out)
{
	struct sql_query *q =
		sql_select(s->db, "select " JOB_COLUMNS " from jobs where id = ?", INT(job));
	bool found = sql_row(q);

	if (found)
		read_job(q, out);
	sql_end(q);
	return found ? 0 : -ENOENT;
}

Cupel__JobSpec *store_job_spec(struct store *s, uint64_t job)
{
	struct sql_query *q = sql_select(s->db, "select spec from jobs where id = ?", INT(job));
	Cupel__JobSpec *spec = NULL;

	if (sql_row(q)) {
		size_t length;
		const void *bytes = sql_blob(q, 0, &length);

		if (bytes)
			spec = cupel__job_spec__unpack(NULL, length, bytes);
	}
	sql_end(q);
	return spec;
}

void store_jobs_of(struct store *s, uint64_t run, job_visit visit, void *context)
{
	visit_jobs(sql_select(s->db, "select " JOB_COLUMNS " from jobs where run = ? order by id",
			      INT(run)),
		   visit, context);
}

void store_jobs_queued(struct store *s, job_visit visit, void *context)
{
	visit_jobs(
		sql_select(s->db, "select " JOB_COLUMNS " from jobs where state = 2 order by id"),
		visit, context);
}

void store_jobs_needing(struct store *s, uint64_t job, job_visit visit, void *context)
{
	visit_jobs(sql_select(s->db,
			      "select " JOB_COLUMNS " from jobs where state = 1 and id in"
			      " (select job from needs where needed = ?)",
			      INT(job)),
		   visit, context);
}

static int64_t one(struct sql_query *q)
{
	int64_t number = sql_row(q) ? sql_int(q, 0) : 0;

	sql_end(q);
	return number;
}

int64_t store_needs_left(struct store *s, uint64_t job)
{
	return one(sql_select(s->db,
			      "select count(*) from needs join jobs on jobs.id = needs.needed"
			      " where needs.job = ? and not (jobs.state = 7 and jobs.verdict = 1)",
			      INT(job)));
}

bool store_needs_hopeless(struct store *s, uint64_t job)
{
	return one(sql_select(
		       s->db,
		       "select exists(select 1 from needs join jobs on jobs.id = needs.needed"
		       " where needs.job = ? and jobs.state = 7 and jobs.verdict <> 1)",
		       INT(job))) != 0;
}

bool store_job_has_need(struct store *s, uint64_t job, uint64_t needed)
{
	return one(sql_select(s->db,
			      "select exists(select 1 from needs where job = ? and needed = ?)",
			      INT(job), INT(needed))) != 0;
}

int store_job_move(struct store *s, uint64_t job, Cupel__State from, Cupel__State to)
{
	return sql_exec(s->db, "update jobs set state = ?3 where id = ?1 and state = ?2", INT(job),
			INT(from), INT(to));
}

int store_job_end(struct store *s, uint64_t job, Cupel__State from, Cupel__Verdict verdict,
		  const char *reason, bool flaky)
{
	return sql_exec(s->db,
			"update jobs set state = 7, verdict = ?3, reason = ?4, flaky = ?5"
			" where id = ?1 and state = ?2",
			INT(job), INT(from), INT(verdict), TEXT(reason), INT(flaky));
}

int store_job_again(struct store *s, uint64_t job, Cupel__State from, bool urgent,
		    const char *avoid)
{
	return sql_exec(
		s->db,
		"update jobs set state = 2, urgent = ?3, avoid = ?4 where id = ?1 and state = ?2",
		INT(job), INT(from), INT(urgent), TEXT(avoid));
}

int store_job_retry(struct store *s, uint64_t job, Cupel__State to)
{
	return sql_exec(
		s->db,
		"update jobs set state = ?2, verdict = 0, reason = '', flaky = 0, urgent = 0,"
		" avoid = '', retried_at = epoch where id = ?1 and state = 7",
		INT(job), INT(to));
}

uint64_t store_job_named(struct store *s, uint64_t run, const char *name)
{
	if (*name)
		return (uint64_t)one(
			sql_select(s->db,
				   "select id from jobs where run = ?1 and name = ?2"
				   " order by kind limit 1", /* a job before the plan */
				   INT(run), TEXT(name)));
	return (uint64_t)one(sql_select(
		s->db,
		"select id from jobs where run = ?1 and (kind = 0 or not exists"
		" (select 1 from jobs where run = ?1 and kind = 0)) group by run having count(*) = 1",
		INT(run)));
}

/* --- attempts ----------------------------------------------------------- */

uint32_t store_attempt_add(struct store *s, uint64_t job, const char *runner, int64_t now_ms)
{
	uint32_t epoch = (uint32_t)one(
		sql_change(s->db,
			   "update jobs set state = 3, epoch = epoch + 1 where id = ? and state = 2"
			   " returning epoch",
			   INT(job)));

	if (!epoch)
		return 0;
	if (sql_exec(
		    s->db,
		    "insert into attempts(job, epoch, runner, state, assigned_at) values(?, ?, ?, 3, ?)",
		    INT(job), INT(epoch), TEXT(runner), INT(now_ms)) < 0)
		return 0;
	return epoch;
}

int store_attempt_phase(struct store *s, uint64_t job, uint32_t epoch, Cupel__State from,
			Cupel__State to, const Cupel__Limits *granted, int64_t now_ms)
{
	owned_buffer packed = {0};
	int rows = granted ? pack(&granted->base, &packed) : 0;

	if (rows < 0)
		return rows;
	rows = sql_exec(s->db,
			"update attempts set state = ?4, granted = coalesce(?5, granted),"
			" started_at = iif(?4 = 5, ?6, started_at)"
			" where job = ?1 and epoch = ?2 and state = ?3",
			INT(job), INT(epoch), INT(from), INT(to),
			BLOB(granted ? (packed.data ? packed.data : "") : NULL, packed.length),
			INT(now_ms));
	if (rows == 1)
		(void)store_job_move(s, job, from, to); /* sticks when it fails */
	return rows;
}

/* The list of denied calls in one blob: a Result that holds nothing else. */
static int pack_denied(const Cupel__Result *r, struct buffer *out)
{
	Cupel__Result only = CUPEL__RESULT__INIT;

	if (!r || !r->n_denied)
		return 0;
	only.n_denied = r->n_denied;
	only.denied = r->denied;
	return pack(&only.base, out);
}

int store_attempt_end(struct store *s, uint64_t job, uint32_t epoch, const struct attempt_end *e)
{
	const Cupel__Result *r = e->result;
	owned_buffer usage = {0}, denied = {0};

	if ((r && r->usage && pack(&r->usage->base, &usage) < 0) || pack_denied(r, &denied) < 0)
		return -ENOMEM;
	return sql_exec(
		s->db,
		"update attempts set state = 7, verdict = ?3, reason = ?4, infrastructure = ?5,"
		" answered = ?6, usage = ?7, denied = ?8, exit_code = ?9, signal = ?10,"
		" limit_name = ?11, log_length = ?12, log_digest = ?13, ended_at = ?14"
		" where job = ?1 and epoch = ?2 and state between 3 and 6",
		INT(job), INT(epoch), INT(e->verdict), TEXT(e->reason), INT(e->infrastructure),
		INT(r != NULL), BLOB(usage.data, usage.length), BLOB(denied.data, denied.length),
		INT(r ? r->exit_code : -1), INT(r ? r->signal : 0), TEXT(r ? r->limit : ""),
		INT(e->log_length), BLOB(r ? r->log_digest.data : NULL, r ? r->log_digest.len : 0),
		INT(e->now_ms));
}

int store_attempt_late(struct store *s, uint64_t job, uint32_t epoch, const char *text)
{
	return sql_exec(s->db,
			"update attempts set late = ?3 where job = ?1 and epoch = ?2 and state = 7"
			" and answered = 0 and late <> ?3",
			INT(job), INT(epoch), TEXT(text));
}

int store_past(struct store *s, uint64_t job, bool since_retry, struct past *out)
{
	struct sql_query *q = sql_select(
		s->db,
		"select count(*) filter (where a.verdict = 2), count(*) filter (where a.verdict = 4),"
		" count(*) filter (where a.verdict = 3),"
		" count(*) filter (where a.verdict = 5 and a.infrastructure),"
		" count(distinct a.runner) filter (where a.verdict = 9),"
		" count(*) filter (where a.verdict = 9)"
		" from attempts a join jobs j on j.id = a.job"
		" where a.job = ?1 and a.epoch > iif(?2, j.retried_at, 0)",
		INT(job), INT(since_retry));

	*out = (struct past){0};
	if (sql_row(q))
		*out = (struct past){(unsigned)sql_int(q, 0), (unsigned)sql_int(q, 1),
				     (unsigned)sql_int(q, 2), (unsigned)sql_int(q, 3),
				     (unsigned)sql_int(q, 4), (unsigned)sql_int(q, 5)};
	sql_end(q);
	return sql_failure(s->db);
}

#define ATTEMPT_COLUMNS                                                                            \
	"a.job, j.run, a.epoch, j.kind, a.state, a.verdict, a.answered, a.granted, a.started_at,"  \
	" a.runner, j.name"

static void read_attempt(struct sql_query *q, struct attempt_row *out)
{
	size_t length;
	const void *granted;
	Cupel__Limits *limits = NULL;

	*out = (struct attempt_row){
		.job = (uint64_t)sql_int(q, 0),
		.run = (uint64_t)sql_int(q, 1),
		.epoch = (uint32_t)sql_int(q, 2),
		.kind = (Cupel__Kind)sql_int(q, 3),
		.state = (Cupel__State)sql_int(q, 4),
		.verdict = (Cupel__Verdict)sql_int(q, 5),
		.answered = sql_int(q, 6) != 0,
		.started_at_ms = sql_int(q, 8),
	};
	(void)snprintf(out->runner, sizeof(out->runner), "%s", sql_text(q, 9)); /* names fit */
	(void)snprintf(out->name, sizeof(out->name), "%s", sql_text(q, 10));
	granted = sql_blob(q, 7, &length);
	if (granted)
		limits = cupel__limits__unpack(NULL, length, granted);
	if (!limits)
		return;
	out->wall_ms = limits->wall_ms;
	out->idle_ms = limits->idle_ms;
	out->output = limits->output;
	cupel__limits__free_unpacked(limits, NULL);
}

void store_attempts_live(struct store *s, attempt_visit visit, void *context)
{
	struct sql_query *q = sql_select(s->db, "select " ATTEMPT_COLUMNS
						" from attempts a join jobs j on j.id = a.job"
						" where a.state between 3 and 6");
	struct attempt_row row;

	while (sql_row(q)) {
		read_attempt(q, &row);
		visit(context, &row);
	}
	sql_end(q);
}

int store_attempt(struct store *s, uint64_t job, uint32_t epoch, struct attempt_row *out)
{
	struct sql_query *q =
		sql_select(s->db,
			   "select " ATTEMPT_COLUMNS " from attempts a join jobs j on j.id = a.job"
			   " where a.job = ? and a.epoch = ?",
			   INT(job), INT(epoch));
	bool found = sql_row(q);

	if (found)
		read_attempt(q, out);
	sql_end(q);
	return found ? 0 : -ENOENT;
}

char *store_attempt_reason(struct store *s, uint64_t job, uint32_t epoch)
{
	struct sql_query *q =
		sql_select(s->db, "select reason from attempts where job = ? and epoch = ?",
			   INT(job), INT(epoch));
	char *reason = sql_row(q) ? strdup(sql_text(q, 0)) : NULL;

	sql_end(q);
	return reason;
}
