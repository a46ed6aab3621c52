#include "dispatcher/store.h"

#include "dispatcher/store_inside.h"

#include <stdio.h>
#include <string.h>

/* Ids are never used again (autoincrement): log files are named after them. States and verdicts are
 * the numbers of cupel.proto. */
static const char *const schema[] = {
	/* 1: the work */
	"create table runs("
	" id integer primary key autoincrement, source integer not null, repository text not null,"
	" name text not null, ref text not null, revision text not null, commit_id text not null,"
	" subject text not null, author text not null, delivery text, verdict integer not null default 0,"
	" reason text not null default '', flaky integer not null default 0,"
	" open integer not null default 0, created_at integer not null, ended_at integer not null default 0);"
	"create unique index runs_event on runs(repository, commit_id) where source = 0;"
	"create unique index runs_delivery on runs(repository, delivery) where delivery is not null;"
	"create index runs_repository on runs(repository, id);"
	"create index runs_name on runs(name, id);"
	"create index runs_live on runs(id) where verdict = 0;"
	"create table jobs("
	" id integer primary key autoincrement, run integer not null references runs(id),"
	" name text not null, kind integer not null, state integer not null,"
	" verdict integer not null default 0, reason text not null default '',"
	" flaky integer not null default 0, spec blob, epoch integer not null default 0,"
	" urgent integer not null default 0, avoid text not null default '',"
	" retried_at integer not null default 0);"
	"create unique index jobs_run on jobs(run, kind, name);"
	"create index jobs_queued on jobs(id) where state = 2;"
	"create table needs("
	" job integer not null references jobs(id), needed integer not null references jobs(id),"
	" primary key(job, needed)) without rowid;"
	"create index needs_back on needs(needed);"
	"create table attempts("
	" job integer not null references jobs(id), epoch integer not null, runner text not null,"
	" state integer not null, verdict integer not null default 0, reason text not null default '',"
	" infrastructure integer not null default 0, answered integer not null default 0,"
	" usage blob, granted blob, denied blob, exit_code integer not null default -1,"
	" signal integer not null default 0, limit_name text not null default '',"
	" log_length integer not null default 0, log_digest blob,"
	" assigned_at integer not null, started_at integer not null default 0,"
	" ended_at integer not null default 0, late text not null default '',"
	" primary key(job, epoch)) without rowid;"
	"create index attempts_live on attempts(job, epoch) where state between 3 and 6;",
	/* 2: who works and who may */
	"create table runners("
	" name text primary key, software text not null, incarnation blob, info blob,"
	" draining integer not null default 0, seen_at integer not null) without rowid;"
	"create table tokens("
	" name text primary key, role integer not null, secret blob not null,"
	" made_at integer not null) without rowid;",
	/* 3: lists of one ref */
	"create index runs_ref on runs(ref, id);"
	"create index runs_repository_ref on runs(repository, ref, id);"
	"create index runs_name_ref on runs(name, ref, id);",
};

int store_open(const char *dir, struct store **out, struct error *err)
{
	owned(store) *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return error_set(err, ENOMEM, "open the store");
	rc = sql_open(dir, "cupel.db", schema, sizeof(schema) / sizeof(schema[0]), &s->db, err);
	if (rc == 0)
		*out = give(s);
	return rc;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	sql_free(s->db);
	free(s);
}

bool store_dirty(const struct store *s)
{
	return sql_in_transaction(s->db) || sql_failure(s->db);
}

int store_failure(const struct store *s)
{
	return sql_failure(s->db);
}

int store_commit(struct store *s, struct error *err)
{
	return sql_commit(s->db, err);
}

void store_rollback(struct store *s)
{
	sql_rollback(s->db);
}

/* One number, or `otherwise` when there is no row. */
static int64_t one(struct sql_query *q, int64_t otherwise)
{
	int64_t number = sql_row(q) ? sql_int(q, 0) : otherwise;

	sql_end(q);
	return number;
}

/* --- runs --------------------------------------------------------------- */

static uint64_t known_run(struct store *s, const struct run_new *r)
{
	if (r->source == SOURCE_EVENT)
		return (uint64_t)one(
			sql_select(
				s->db,
				"select id from runs where source = 0 and repository = ? and commit_id = ?",
				TEXT(r->repository), TEXT(r->commit)),
			0);
	if (!r->delivery || !*r->delivery)
		return 0;
	return (uint64_t)one(sql_select(s->db,
					"select id from runs where repository = ? and delivery = ?",
					TEXT(r->repository), TEXT(r->delivery)),
			     0);
}

int store_run_add(struct store *s, const struct run_new *r, uint64_t *run, bool *known)
{
	int rc;

	*run = known_run(s, r);
	*known = *run != 0;
	if (*known)
		return 0;
	rc = sql_exec(
		s->db,
		"insert into runs(source, repository, name, ref, revision, commit_id, subject, author,"
		" delivery, created_at) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		INT(r->source), TEXT(r->repository), TEXT(r->name), TEXT(r->ref), TEXT(r->revision),
		TEXT(r->commit), TEXT(r->subject), TEXT(r->author),
		TEXT(r->delivery && *r->delivery ? r->delivery : NULL), INT(r->now_ms));
	*run = sql_last_id(s->db);
	return rc < 0 ? rc : 0;
}

int store_run_place(struct store *s, uint64_t run, struct run_place *out)
{
	struct sql_query *q = sql_select(
		s->db, "select repository, name, ref, revision, commit_id from runs where id = ?",
		INT(run));
	int rc = -ENOENT;

	*out = (struct run_place){0};
	if (sql_row(q)) {
		*out = (struct run_place){strdup(sql_text(q, 0)), strdup(sql_text(q, 1)),
					  strdup(sql_text(q, 2)), strdup(sql_text(q, 3)),
					  strdup(sql_text(q, 4))};
		rc = out->repository && out->name && out->ref && out->revision && out->commit
			     ? 0
			     : -ENOMEM;
	}
	sql_end(q);
	return rc;
}

void run_place_done(struct run_place *p)
{
	free(p->repository);
	free(p->name);
	free(p->ref);
	free(p->revision);
	free(p->commit);
	*p = (struct run_place){0};
}

int store_run_resolved(struct store *s, uint64_t run, const char *commit, const char *subject,
		       const char *author)
{
	return sql_exec(s->db,
			"update runs set commit_id = iif(source = 0, commit_id, ?2),"
			" subject = iif(?3 <> '', ?3, subject), author = iif(?4 <> '', ?4, author)"
			" where id = ?1",
			INT(run), TEXT(commit), TEXT(subject), TEXT(author));
}

int64_t store_run_open(struct store *s, uint64_t run, int by)
{
	return one(sql_change(s->db,
			      "update runs set open = open + ?2 where id = ?1 returning open",
			      INT(run), INT(by)),
		   -1);
}

int store_run_end(struct store *s, uint64_t run, Cupel__Verdict verdict, const char *reason,
		  bool flaky, int64_t now_ms)
{
	return sql_exec(s->db,
			"update runs set verdict = ?2, reason = ?3, flaky = ?4, ended_at = ?5"
			" where id = ?1 and open = 0",
			INT(run), INT(verdict), TEXT(reason), INT(flaky), INT(now_ms));
}

int store_run_reopen(struct store *s, uint64_t run)
{
	return sql_exec(
		s->db,
		"update runs set verdict = 0, reason = '', flaky = 0, ended_at = 0 where id = ?",
		INT(run));
}

int store_run_sum(struct store *s, uint64_t run, struct run_sum *out)
{
	struct sql_query *q = sql_select(
		s->db,
		"select verdict, flaky, kind, name, reason from jobs where run = ? order by id",
		INT(run));

	*out = (struct run_sum){0};
	while (sql_row(q)) {
		Cupel__Verdict verdict = (Cupel__Verdict)sql_int(q, 0);
		bool worse = verdict_worse(out->verdict, verdict) != out->verdict;

		out->flaky |= sql_int(q, 1) != 0;
		if (sql_int(q, 2) == CUPEL__KIND__KIND_PLAN &&
		    verdict == CUPEL__VERDICT__VERDICT_PASSED)
			continue; /* a plan that went well is no part of the answer */
		out->jobs++;
		out->like_this = worse ? 1 : out->like_this + (verdict == out->verdict);
		if (!worse)
			continue;
		out->verdict = verdict;
		(void)snprintf(out->job, sizeof(out->job), "%s",
			       sql_int(q, 2) == CUPEL__KIND__KIND_PLAN ? "" : sql_text(q, 3));
		(void)snprintf(out->reason, sizeof(out->reason), "%s", sql_text(q, 4)); /* fits */
	}
	sql_end(q);
	return sql_failure(s->db);
}

/* --- runners and tokens
 * ------------------------------------------------------------------------------ */

int store_runner_put(struct store *s, const struct runner_row *r)
{
	Cupel__RunnerInfo info = *r->info;
	owned_buffer packed = {0};
	int rc;

	info.n_held = 0; /* of one moment, not of the runner */
	rc = pack(&info.base, &packed);
	if (rc < 0)
		return rc;
	return sql_exec(
		s->db,
		"insert into runners(name, software, incarnation, info, seen_at) values(?, ?, ?, ?, ?)"
		" on conflict(name) do update set software = excluded.software,"
		" incarnation = excluded.incarnation, info = excluded.info,"
		" seen_at = excluded.seen_at",
		TEXT(r->name), TEXT(r->software), BLOB(r->incarnation, 16),
		BLOB(packed.data ? packed.data : "", packed.length), INT(r->seen_at_ms));
}

int store_runner_drain(struct store *s, const char *name, bool draining)
{
	return sql_exec(s->db, "update runners set draining = ?2 where name = ?1", TEXT(name),
			INT(draining));
}

void store_runners(struct store *s, void (*visit)(void *context, const struct runner_row *r),
		   void *context)
{
	struct sql_query *q = sql_select(
		s->db, "select name, software, incarnation, info, draining, seen_at from runners");

	while (sql_row(q)) {
		struct runner_row r = {.name = sql_text(q, 0), .software = sql_text(q, 1)};
		size_t length;
		const void *incarnation = sql_blob(q, 2, &length), *info;
		Cupel__RunnerInfo *unpacked;

		r.incarnation = length == 16 ? incarnation : NULL;
		info = sql_blob(q, 3, &length);
		unpacked = cupel__runner_info__unpack(NULL, length, info);
		r.info = unpacked;
		r.draining = sql_int(q, 4) != 0;
		r.seen_at_ms = sql_int(q, 5);
		if (unpacked)
			visit(context, &r);
		if (unpacked)
			cupel__runner_info__free_unpacked(unpacked, NULL);
	}
	sql_end(q);
}

int store_token_put(struct store *s, const char *name, Cupel__Role role,
		    const uint8_t secret[LINK_SECRET], int64_t now_ms)
{
	return sql_exec(
		s->db,
		"insert into tokens(name, role, secret, made_at) values(?, ?, ?, ?)"
		" on conflict(name) do update set role = excluded.role, secret = excluded.secret,"
		" made_at = excluded.made_at",
		TEXT(name), INT(role), BLOB(secret, LINK_SECRET), INT(now_ms));
}

int store_token_drop(struct store *s, const char *name)
{
	return sql_exec(s->db, "delete from tokens where name = ?", TEXT(name));
}

bool store_token_find(struct store *s, const char *name, uint8_t secret[LINK_SECRET],
		      Cupel__Role *role)
{
	struct sql_query *q =
		sql_select(s->db, "select role, secret from tokens where name = ?", TEXT(name));
	bool found = false;

	if (sql_row(q)) {
		size_t length;
		const void *bytes = sql_blob(q, 1, &length);

		found = length == LINK_SECRET;
		if (found)
			memcpy(secret, bytes, LINK_SECRET);
		*role = (Cupel__Role)sql_int(q, 0);
	}
	sql_end(q);
	return found;
}
