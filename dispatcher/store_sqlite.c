#include "dispatcher/sql.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define APPLICATION_ID  0x4375706c /* "Cupl": tells our files from others */
#define STATEMENTS      256        /* literals in use are fewer than half of that */
#define BUSY_MS         2000       /* for another's lock on the file; below the heartbeat of 5 s */
#define CHECK_WHOLE_MAX (64 << 20) /* bytes; checking a larger file would delay the start */

struct sql_query {
	struct sql *db;
	const char *text; /* the literal, by address */
	sqlite3_stmt *statement;
	bool stepped_to_end;
};

struct sql {
	sqlite3 *handle;
	bool in_transaction;
	int failure;        /* -errno, sticks until commit or rollback */
	char sentence[256]; /* what failed first */
	struct sql_query queries[STATEMENTS];
};

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return EACCES;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return EBADMSG;
	case SQLITE_CONSTRAINT:
		return EEXIST;
	default:
		return EIO;
	}
}

static int fail(struct sql *db, int code, const char *what)
{
	if (!db->failure) {
		db->failure = -errno_of(code);
		(void)snprintf(db->sentence, sizeof(db->sentence), "%s: %.160s", what,
			       sqlite3_errmsg(db->handle)); /* cut when too long */
	}
	return db->failure;
}

/* --- opening ------------------------------------------------------------ */

static int simple(struct sql *db, const char *text)
{
	int rc = sqlite3_exec(db->handle, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(db, rc, "database");
}

static int pragma_number(struct sql *db, const char *text, int64_t *out)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->handle, text, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s); /* repeats the failure that `rc` tells */
	return rc == SQLITE_ROW ? 0 : fail(db, rc, "database");
}

static int check_whole(struct sql *db, const char *path, struct error *err)
{
	struct stat st;
	sqlite3_stmt *s = NULL;
	bool sound;

	if (stat(path, &st) < 0 || st.st_size == 0 || st.st_size > CHECK_WHOLE_MAX)
		return 0;
	sound = sqlite3_prepare_v2(db->handle, "pragma quick_check(1)", -1, &s, NULL) ==
			SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW &&
		strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
	(void)sqlite3_finalize(s); /* nothing was written */
	if (sound)
		return 0;
	return error_say(err, EBADMSG,
			 "%s is damaged: put back a copy of it, or move it away to start empty",
			 path);
}

static int check_ours(struct sql *db, const char *path, int64_t *version, size_t newest,
		      struct error *err)
{
	int64_t application = 0, tables = 0;

	if (pragma_number(db, "pragma application_id", &application) < 0 ||
	    pragma_number(db, "pragma user_version", version) < 0 ||
	    pragma_number(db, "select count(*) from sqlite_master", &tables) < 0) {
		if (db->failure == -EBADMSG)
			return error_say(
				err, EBADMSG,
				"%s is not a database, or damaged: put back a copy of it, or move "
				"it away to start empty",
				path);
		return error_say(err, -db->failure, "%s: %s", path, db->sentence);
	}
	if (tables == 0 && *version == 0)
		return 0; /* new */
	if (application != APPLICATION_ID)
		return error_say(err, EBADMSG,
				 "%s is another program's database: choose another state directory",
				 path);
	if (*version < 0 || (uint64_t)*version > newest)
		return error_say(
			err, EPROTO,
			"%s has schema %lld, made by a newer cupel-dispatcher; this one knows up "
			"to %zu: install the newer one again",
			path, (long long)*version, newest);
	return check_whole(db, path, err);
}

/* Each step is one transaction, so that a crash leaves the old schema or the new one. */
static int migrate(struct sql *db, const char *path, int64_t version, const char *const *steps,
		   size_t count, struct error *err)
{
	for (size_t i = (size_t)version; i < count; i++) {
		char mark[96];

		(void)snprintf(mark, sizeof(mark),
			       "pragma application_id=%d; pragma user_version=%zu; commit",
			       APPLICATION_ID, i + 1); /* fits */
		if (simple(db, "begin immediate") < 0 || simple(db, steps[i]) < 0 ||
		    simple(db, mark) < 0)
			return error_say(err, -db->failure, "%s: schema step %zu: %s", path, i + 1,
					 db->sentence);
	}
	return 0;
}

int sql_open(const char *dir, const char *name, const char *const *steps, size_t steps_count,
	     struct sql **out, struct error *err)
{
	owned(sql) *db = calloc(1, sizeof(*db));
	char path[PATH_MAX];
	int64_t version = 0;
	int rc;

	if (!db)
		return error_set(err, ENOMEM, "open %s/%s", dir, name);
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return error_set(err, ENAMETOOLONG, "open %.200s/%s", dir, name);
	rc = sqlite3_open_v2(path, &db->handle,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc != SQLITE_OK)
		return error_say(err, errno_of(rc), "open %s: %s", path,
				 db->handle ? sqlite3_errmsg(db->handle) : "no memory");
	(void)sqlite3_busy_timeout(db->handle, BUSY_MS); /* can't fail with a sound handle */
	rc = check_ours(db, path, &version, steps_count, err);
	if (rc < 0)
		return rc;
	/* FULL: a commit is on disk when it returns, also after a power cut. The cache is small
	 * because the working set is: live jobs and the tail of the tables. */
	if (simple(db, "pragma journal_mode=wal; pragma synchronous=full; pragma foreign_keys=on;"
		       "pragma cache_size=-1024; pragma temp_store=memory") < 0)
		return error_say(err, -db->failure, "%s: %s", path, db->sentence);
	rc = migrate(db, path, version, steps, steps_count, err);
	if (rc < 0)
		return rc;
	*out = give(db);
	return 0;
}

void sql_free(struct sql *db)
{
	if (!db)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(db->queries[i].statement); /* repeats an older failure */
	(void)sqlite3_close(db->handle); /* an open transaction is undone, as it must be */
	free(db);
}

/* --- statements --------------------------------------------------------- */

static struct sql_query *prepared(struct sql *db, const char *text)
{
	size_t slot = ((uintptr_t)text >> 3) * 0x9e3779b97f4a7c15u >> 56;
	struct sql_query *q;
	int rc;

	while (db->queries[slot].text && db->queries[slot].text != text)
		slot = (slot + 1) % STATEMENTS;
	q = &db->queries[slot];
	if (q->statement)
		return q;
	q->db = db;
	q->text = text;
	rc = sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &q->statement,
				NULL);
	if (rc != SQLITE_OK)
		(void)fail(db, rc, text); /* sticks, and the caller asks later */
	return q;
}

static void bind(struct sql_query *q, const struct sql_value *values)
{
	for (int i = 0; values[i].type != SQL_VALUE_NONE; i++) {
		const struct sql_value *v = &values[i];
		int rc;

		if (v->type == SQL_VALUE_INT)
			rc = sqlite3_bind_int64(q->statement, i + 1, v->number);
		else if (!v->bytes)
			rc = sqlite3_bind_null(q->statement, i + 1);
		else if (v->type == SQL_VALUE_TEXT)
			rc = sqlite3_bind_text(q->statement, i + 1, v->bytes, -1, SQLITE_STATIC);
		else
			rc = sqlite3_bind_blob64(q->statement, i + 1, v->bytes, v->length,
						 SQLITE_STATIC);
		if (rc != SQLITE_OK)
			(void)fail(q->db, rc, "bind"); /* sticks */
	}
}

struct sql_query *sql_query_(struct sql *db, const char *text, bool writes,
			     const struct sql_value *values)
{
	struct sql_query *q = prepared(db, text);

	q->stepped_to_end = db->failure != 0;
	if (db->failure)
		return q;
	if (writes && !db->in_transaction) {
		if (simple(db, "begin immediate") < 0)
			return q;
		db->in_transaction = true;
	}
	bind(q, values);
	return q;
}

bool sql_row(struct sql_query *q)
{
	int rc;

	if (q->db->failure || q->stepped_to_end)
		return false;
	rc = sqlite3_step(q->statement);
	if (rc == SQLITE_ROW)
		return true;
	q->stepped_to_end = true;
	if (rc != SQLITE_DONE)
		(void)fail(q->db, rc, "database"); /* sticks */
	return false;
}

void sql_end(struct sql_query *q)
{
	(void)sqlite3_reset(q->statement);          /* repeats the failure that stuck already */
	(void)sqlite3_clear_bindings(q->statement); /* can't fail */
}

int sql_exec_(struct sql *db, const char *text, const struct sql_value *values)
{
	struct sql_query *q = sql_query_(db, text, true, values);

	(void)sql_row(q); /* a failure sticks and is asked for below */
	sql_end(q);
	return db->failure ? db->failure : sqlite3_changes(db->handle);
}

int64_t sql_int(struct sql_query *q, int column)
{
	return sqlite3_column_int64(q->statement, column);
}

const char *sql_text(struct sql_query *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q->statement, column);

	return text ? text : "";
}

const void *sql_blob(struct sql_query *q, int column, size_t *length)
{
	const void *bytes = sqlite3_column_blob(q->statement, column);

	*length = (size_t)sqlite3_column_bytes(q->statement, column);
	return bytes;
}

uint64_t sql_last_id(struct sql *db)
{
	return (uint64_t)sqlite3_last_insert_rowid(db->handle);
}

bool sql_in_transaction(const struct sql *db)
{
	return db->in_transaction;
}

int sql_failure(const struct sql *db)
{
	return db->failure;
}

/* --- transactions ------------------------------------------------------- */

void sql_rollback(struct sql *db)
{
	if (db->in_transaction && !sqlite3_get_autocommit(db->handle))
		(void)sqlite3_exec(db->handle, "rollback", NULL, NULL,
				   NULL); /* closing undoes it too */
	db->in_transaction = false;
	db->failure = 0;
}

int sql_commit(struct sql *db, struct error *err)
{
	int rc;

	if (!db->failure && db->in_transaction)
		(void)simple(db, "commit"); /* sticks */
	rc = db->failure;
	if (rc < 0) {
		(void)error_say(err, -rc, "%s", db->sentence);
		sql_rollback(db);
		return rc;
	}
	db->in_transaction = false;
	return 0;
}
