#include "dispatcher/store_inside.h"

#include <string.h>

/* What clients see is built as messages right away: nothing in between would add anything. Text is
 * cut where a whole answer could grow over a frame. */
#define SHOW_REASON 1000 /* bytes of one reason in an answer with many */
#define SHOW_MAX                                                                                   \
	800000 /* bytes of one answer; a frame holds 1 MiB, and why jobs wait comes on top */
#define SHOW_ATTEMPTS 50 /* of one job: the newest */
#define LIST_DEFAULT  50
#define LIST_MOST     1000

static char *text(struct sql_query *q, int column)
{
	char *copy = strndup(sql_text(q, column), SHOW_REASON);

	if (copy) /* not in the middle of a character */
		for (size_t n = strlen(copy); n == SHOW_REASON && n-- && (copy[n] & 0x80);) {
			bool first = (copy[n] & 0xc0) == 0xc0;

			copy[n] = '\0';
			if (first)
				break;
		}
	return copy;
}

static ProtobufCBinaryData bytes(struct sql_query *q, int column)
{
	ProtobufCBinaryData out = {0};
	const void *from = sql_blob(q, column, &out.len);

	out.data = out.len ? malloc(out.len) : NULL;
	if (out.data)
		memcpy(out.data, from, out.len);
	else
		out.len = 0;
	return out;
}

/* Puts `item` behind the list; the list grows in powers of two. */
static bool list_push(size_t *count, void ***list, void *item)
{
	if ((*count & (*count - 1)) == 0) {
		void **grown = realloc(*list, sizeof(void *) * (*count ? *count * 2 : 1));

		if (!grown)
			return false;
		*list = grown;
	}
	(*list)[(*count)++] = item;
	return true;
}
#define push(message, field, item)                                                                 \
	list_push(&(message)->n_##field, (void ***)&(message)->field, item)

static void read_denied(struct sql_query *q, int column, Cupel__AttemptInfo *a)
{
	size_t length;
	const void *packed = sql_blob(q, column, &length);
	Cupel__Result *only = packed ? cupel__result__unpack(NULL, length, packed) : NULL;

	if (!only)
		return;
	a->n_denied = only->n_denied;
	a->denied = only->denied;
	only->n_denied = 0;
	only->denied = NULL;
	cupel__result__free_unpacked(only, NULL);
}

static Cupel__AttemptInfo *read_attempt(struct sql_query *q)
{
	Cupel__AttemptInfo *a = malloc(sizeof(*a));
	const void *packed;
	size_t length;

	if (!a)
		return NULL;
	cupel__attempt_info__init(a);
	a->epoch = (uint32_t)sql_int(q, 1);
	a->runner = text(q, 2);
	a->state = (Cupel__State)sql_int(q, 3);
	a->verdict = (Cupel__Verdict)sql_int(q, 4);
	a->reason = text(q, 5);
	packed = sql_blob(q, 6, &length);
	a->usage = packed ? cupel__usage__unpack(NULL, length, packed) : NULL;
	packed = sql_blob(q, 7, &length);
	a->granted = packed ? cupel__limits__unpack(NULL, length, packed) : NULL;
	a->exit_code = (int32_t)sql_int(q, 8);
	a->signal = (uint32_t)sql_int(q, 9);
	a->limit = text(q, 10);
	a->log_length = (uint64_t)sql_int(q, 11);
	a->log_digest = bytes(q, 12);
	a->assigned_at_ms = (uint64_t)sql_int(q, 13);
	a->started_at_ms = (uint64_t)sql_int(q, 14);
	a->ended_at_ms = (uint64_t)sql_int(q, 15);
	read_denied(q, 16, a);
	a->late_result = text(q, 17);
	return a;
}

/* The run's attempts come ordered by job, like its jobs. */
static void add_attempts(struct store *s, Cupel__Run *run)
{
	struct sql_query *q = sql_select(
		s->db,
		"select a.job, a.epoch, a.runner, a.state, a.verdict, a.reason, a.usage, a.granted,"
		" a.exit_code, a.signal, a.limit_name, a.log_length, a.log_digest, a.assigned_at,"
		" a.started_at, a.ended_at, a.denied, a.late"
		" from jobs j join attempts a on a.job = j.id and a.epoch > j.epoch - ?2"
		" where j.run = ?1 order by a.job, a.epoch",
		INT(run->id), INT(SHOW_ATTEMPTS));
	size_t at = 0;

	while (sql_row(q)) {
		uint64_t job = (uint64_t)sql_int(q, 0);
		Cupel__AttemptInfo *a;

		while (at < run->n_jobs && run->jobs[at]->id != job)
			at++;
		if (at == run->n_jobs)
			break;
		a = read_attempt(q);
		if (a && !push(run->jobs[at], attempts, a))
			cupel__attempt_info__free_unpacked(a, NULL);
	}
	sql_end(q);
}

static void add_needs(struct store *s, Cupel__Run *run)
{
	struct sql_query *q =
		sql_select(s->db,
			   "select n.job, other.name from jobs j"
			   " join needs n on n.job = j.id join jobs other on other.id = n.needed"
			   " where j.run = ? order by n.job",
			   INT(run->id));
	size_t at = 0;

	while (sql_row(q)) {
		uint64_t job = (uint64_t)sql_int(q, 0);
		char *name = text(q, 1);

		while (at < run->n_jobs && run->jobs[at]->id != job)
			at++;
		if (at == run->n_jobs || !name || !push(run->jobs[at], needs, name))
			free(name);
	}
	sql_end(q);
}

static void add_jobs(struct store *s, Cupel__Run *run)
{
	struct sql_query *q = sql_select(
		s->db,
		"select id, name, kind, state, verdict, reason, flaky from jobs where run = ? order by id",
		INT(run->id));

	while (sql_row(q)) {
		Cupel__Job *j = malloc(sizeof(*j));

		if (!j)
			break;
		cupel__job__init(j);
		j->id = (uint64_t)sql_int(q, 0);
		j->name = text(q, 1);
		j->kind = (Cupel__Kind)sql_int(q, 2);
		j->state = (Cupel__State)sql_int(q, 3);
		j->verdict = (Cupel__Verdict)sql_int(q, 4);
		j->reason = text(q, 5);
		j->flaky = sql_int(q, 6) != 0;
		if (!push(run, jobs, j)) {
			cupel__job__free_unpacked(j, NULL);
			break;
		}
	}
	sql_end(q);
}

/* Where each job came from stands in its spec. */
static void add_rules(struct store *s, Cupel__Run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++) {
		Cupel__JobSpec *spec = store_job_spec(s, run->jobs[i]->id);

		if (!spec)
			continue;
		run->jobs[i]->rule = strdup(spec->rule);
		cupel__job_spec__free_unpacked(spec, NULL);
	}
}

#define RUN_COLUMNS                                                                                \
	"id, repository, name, ref, commit_id, revision, subject, author, verdict, reason, flaky," \
	" created_at, ended_at"

static Cupel__Run *read_run(struct sql_query *q)
{
	Cupel__Run *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	cupel__run__init(r);
	r->id = (uint64_t)sql_int(q, 0);
	r->repository = strdup(sql_text(q, 1));
	r->name = text(q, 2);
	r->ref = strdup(sql_text(q, 3));
	r->commit = text(q, 4);
	r->revision = strdup(sql_text(q, 5));
	r->subject = text(q, 6);
	r->author = text(q, 7);
	r->verdict = (Cupel__Verdict)sql_int(q, 8);
	r->reason = text(q, 9);
	r->flaky = sql_int(q, 10) != 0;
	r->created_at_ms = (uint64_t)sql_int(q, 11);
	r->ended_at_ms = (uint64_t)sql_int(q, 12);
	return r;
}

#define FIELD_HEAD ((size_t)2) /* a member's key and length take that much at least */

/* Both: the bytes that the answer is shorter by. */
static size_t drop_oldest_attempt(Cupel__Job *j)
{
	size_t size = FIELD_HEAD + cupel__attempt_info__get_packed_size(j->attempts[0]);

	cupel__attempt_info__free_unpacked(j->attempts[0], NULL);
	memmove(&j->attempts[0], &j->attempts[1], --j->n_attempts * sizeof(j->attempts[0]));
	return size;
}

static size_t drop_needs(Cupel__Job *j)
{
	size_t size = 0;

	while (j->n_needs) {
		char *name = j->needs[--j->n_needs];

		size += FIELD_HEAD + strlen(name);
		free(name);
	}
	return size;
}

/* Hundreds of jobs that were tried again and again: the older attempts stay on disk only,
 * and then what the first jobs need. */
static void cut_to_frame(Cupel__Run *run)
{
	size_t size = cupel__run__get_packed_size(run);
	bool cut = true;

	while (size > SHOW_MAX && cut) {
		cut = false;
		for (size_t i = 0; i < run->n_jobs; i++)
			if (run->jobs[i]->n_attempts) {
				size -= drop_oldest_attempt(run->jobs[i]);
				cut = true;
			}
	}
	for (size_t i = 0; i < run->n_jobs && size > SHOW_MAX; i++)
		size -= drop_needs(run->jobs[i]);
}

Cupel__Run *store_show(struct store *s, uint64_t id)
{
	struct sql_query *q =
		sql_select(s->db, "select " RUN_COLUMNS " from runs where id = ?", INT(id));
	Cupel__Run *run = sql_row(q) ? read_run(q) : NULL;

	sql_end(q);
	if (!run)
		return NULL;
	add_jobs(s, run);
	add_needs(s, run);
	add_rules(s, run);
	add_attempts(s, run);
	cut_to_frame(run);
	return run;
}

/* The newest that are called so or lie there: each half comes in order out of an index. */
#define EITHER(ref)                                                                                \
	"select id from runs where name = ?2" ref " and id < ?1"                                   \
	" union select id from runs where repository = ?2" ref " and id < ?1"                      \
	" order by id desc limit ?3"

/* One statement per way to ask, so that each has its index: what isn't there costs nothing. */
static struct sql_query *list_query(struct store *s, const Cupel__List *w, int64_t before,
				    uint32_t most)
{
	if (w->live)
		return sql_select(
			s->db,
			"select " RUN_COLUMNS " from runs where verdict = 0 and id < ?1"
			" and (?2 = '' or name = ?2 or repository = ?2) and (?3 = '' or ref = ?3)"
			" order by id desc",
			INT(before), TEXT(w->repository), TEXT(w->ref));
	if (*w->repository && *w->ref)
		return sql_select(s->db,
				  "select " RUN_COLUMNS " from runs where id in (" EITHER(
					  " and ref = ?4") ") order by id desc",
				  INT(before), TEXT(w->repository), INT(most), TEXT(w->ref));
	if (*w->repository)
		return sql_select(s->db,
				  "select " RUN_COLUMNS
				  " from runs where id in (" EITHER("") ") order by id desc",
				  INT(before), TEXT(w->repository), INT(most));
	if (*w->ref)
		return sql_select(s->db,
				  "select " RUN_COLUMNS
				  " from runs where ref = ?2 and id < ?1 order by id desc",
				  INT(before), TEXT(w->ref));
	return sql_select(s->db, "select " RUN_COLUMNS " from runs where id < ?1 order by id desc",
			  INT(before));
}

Cupel__Runs *store_list(struct store *s, const Cupel__List *wish)
{
	uint32_t most = wish->limit ? wish->limit : LIST_DEFAULT;
	Cupel__Runs *runs = malloc(sizeof(*runs));
	struct sql_query *q;
	size_t size = 0;

	if (!runs)
		return NULL;
	cupel__runs__init(runs);
	if (most > LIST_MOST)
		most = LIST_MOST;
	q = list_query(s, wish, wish->before ? (int64_t)wish->before : INT64_MAX, most);
	while (runs->n_runs < most && sql_row(q)) {
		Cupel__Run *r = read_run(q);

		if (!r)
			break;
		add_jobs(s, r);
		size += cupel__run__get_packed_size(r) + 8;
		if ((size > SHOW_MAX && runs->n_runs) || !push(runs, runs, r)) {
			cupel__run__free_unpacked(r, NULL);
			break;
		}
	}
	sql_end(q);
	return runs;
}

uint64_t store_run_took(struct store *s, uint64_t run, int64_t now_ms)
{
	struct sql_query *q = sql_select(
		s->db,
		"select a.assigned_at, iif(a.state = 7, a.ended_at, ?2) from jobs j"
		" join attempts a on a.job = j.id where j.run = ?1 order by a.assigned_at",
		INT(run), INT(now_ms));
	int64_t until = 0, took = 0; /* what is counted ends at `until` */

	while (sql_row(q)) {
		int64_t from = sql_int(q, 0), end = sql_int(q, 1);

		if (end <= until)
			continue;
		took += from < until ? end - until : end > from ? end - from : 0;
		until = end;
	}
	sql_end(q);
	return (uint64_t)took;
}
