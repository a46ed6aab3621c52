/* table.h - rows and columns for people, fitted to a width. Pure.
 *
 * Every text is escaped as it comes in, so that nothing in a table can do harm to a terminal. */
#pragma once

#include "base/buffer.h"
#include "base/owned.h"
#include "cli/terminal.h"

struct table;

struct table_column {
	const char *title;
	bool right; /* numbers */
	bool cut;   /* may be made narrower, down to TABLE_LEAST, to fit */
};
#define TABLE_LEAST 8 /* columns */

/* `columns` is borrowed; a table stands `indent` columns from the left. NULL: no memory. */
struct table *table_new(const struct table_column *columns, size_t count, size_t indent);
void table_free(struct table *t);
OWNED(table)

struct table_cell {
	const char *text;
	enum style style;
};

/* `cells`: one for each column. */
int table_add(struct table *t, const struct table_cell *cells);

/* A text of its own beneath the last row, wrapped between words where a line has an end. */
int table_note(struct table *t, enum style style, const char *text);

/* `width` 0: nothing is cut. */
int table_print(const struct table *t, size_t width, bool colour, struct buffer *out);
