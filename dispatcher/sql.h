/* sql.h - the little that the store needs of an SQL database. store_sqlite.c is behind it.
 *
 * Writes open a transaction by themselves; sql_commit() ends it. A failure sticks: until the next
 * sql_commit() or sql_rollback() everything answers with it, and nothing of the transaction
 * stays. So callers may ask once, at the end. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql;
struct sql_query;

/* Opens DIR/NAME, makes it when missing, brings its schema up by the steps that it hasn't had.
 * Refused in one sentence: a newer schema, another program's file, a damaged one. */
int sql_open(const char *dir, const char *name, const char *const *steps, size_t steps_count,
	     struct sql **out, struct error *err);
void sql_free(struct sql *db);
OWNED(sql)

struct sql_value {
	enum { SQL_VALUE_NONE, SQL_VALUE_INT, SQL_VALUE_TEXT, SQL_VALUE_BLOB } type;
	int64_t number;
	const void *bytes; /* NULL: SQL's null */
	size_t length;
};
#define INT(x)        ((struct sql_value){SQL_VALUE_INT, (int64_t)(x), NULL, 0})
#define TEXT(s)       ((struct sql_value){SQL_VALUE_TEXT, 0, (s), 0})
#define BLOB(p, size) ((struct sql_value){SQL_VALUE_BLOB, 0, (p), (size)})
#define SQL_VALUES_(...)                                                                           \
	((const struct sql_value[]){__VA_ARGS__ __VA_OPT__(, )(struct sql_value){0}})

/* Runs a statement that changes something; `text` must be a literal (it is the key under which the
 * prepared statement is kept). The rows changed, or -errno. */
#define sql_exec(db, text, ...) sql_exec_(db, "" text, SQL_VALUES_(__VA_ARGS__))
int sql_exec_(struct sql *db, const char *text, const struct sql_value *values);

/* Starts a statement that gives rows. Never NULL; end it with sql_end(). `sql_change` is for one
 * that changes and gives rows ("returning"). */
#define sql_select(db, text, ...) sql_query_(db, "" text, false, SQL_VALUES_(__VA_ARGS__))
#define sql_change(db, text, ...) sql_query_(db, "" text, true, SQL_VALUES_(__VA_ARGS__))
struct sql_query *sql_query_(struct sql *db, const char *text, bool writes,
			     const struct sql_value *values);
bool sql_row(struct sql_query *q); /* false: no more, or a failure */
void sql_end(struct sql_query *q);

int64_t sql_int(struct sql_query *q, int column);
const char *sql_text(struct sql_query *q, int column); /* never NULL; until the next sql_row() */
const void *sql_blob(struct sql_query *q, int column, size_t *length); /* the same */

uint64_t sql_last_id(struct sql *db);

bool sql_in_transaction(const struct sql *db);
/* 0 while all is well. */
int sql_failure(const struct sql *db);
/* Everything since the last commit is on disk (0), or undone (-errno: -ENOSPC when it is full). */
int sql_commit(struct sql *db, struct error *err);
void sql_rollback(struct sql *db);
