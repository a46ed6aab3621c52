#include "cli/table.h"

#include "cli/escape.h"
#include "cli/utf8.h"

#include <errno.h>
#include <string.h>

#define GAP         2 /* columns between two columns */
#define NOTE_INDENT 4
#define COLUMNS_MAX 16

struct row {
	char **texts; /* one for each column; of a note only the first */
	enum style *styles;
	bool note;
};

struct table {
	const struct table_column *columns;
	size_t columns_count, indent;
	struct row *rows;
	size_t rows_count, rows_size;
};

struct table *table_new(const struct table_column *columns, size_t count, size_t indent)
{
	struct table *t = count <= COLUMNS_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return NULL;
	t->columns = columns;
	t->columns_count = count;
	t->indent = indent;
	return t;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows_count; i++) {
		for (size_t c = 0; t->rows[i].texts && c < t->columns_count; c++)
			free(t->rows[i].texts[c]);
		free(t->rows[i].texts);
		free(t->rows[i].styles);
	}
	free(t->rows);
	free(t);
}

static struct row *new_row(struct table *t)
{
	struct row *row;

	if (t->rows_count == t->rows_size) {
		size_t size = t->rows_size ? 2 * t->rows_size : 16;
		struct row *rows = realloc(t->rows, size * sizeof(*rows));

		if (!rows)
			return NULL;
		t->rows = rows;
		t->rows_size = size;
	}
	row = &t->rows[t->rows_count++];
	row->note = false;
	row->texts = calloc(t->columns_count, sizeof(*row->texts));
	row->styles = calloc(t->columns_count, sizeof(*row->styles));
	return row->texts && row->styles ? row : NULL;
}

int table_add(struct table *t, const struct table_cell *cells)
{
	struct row *row = new_row(t);

	for (size_t i = 0; row && i < t->columns_count; i++) {
		row->styles[i] = cells[i].style;
		row->texts[i] = escape_new(cells[i].text);
		if (!row->texts[i])
			return -ENOMEM;
	}
	return row ? 0 : -ENOMEM;
}

int table_note(struct table *t, enum style style, const char *text)
{
	struct row *row = new_row(t);

	if (!row)
		return -ENOMEM;
	row->note = true;
	row->styles[0] = style;
	row->texts[0] = escape_new(text);
	return row->texts[0] ? 0 : -ENOMEM;
}

/* --- widths ------------------------------------------------------------- */

static size_t row_width(const struct table *t, const size_t *widths)
{
	size_t sum = t->indent + GAP * (t->columns_count - 1);

	for (size_t i = 0; i < t->columns_count; i++)
		sum += widths[i];
	return sum;
}

/* The widest column that may still give; NULL: none. */
static size_t *widest(const struct table *t, size_t *widths)
{
	size_t *most = NULL;

	for (size_t i = 0; i < t->columns_count; i++)
		if (t->columns[i].cut && widths[i] > TABLE_LEAST && (!most || widths[i] > *most))
			most = &widths[i];
	return most;
}

static void measure(const struct table *t, size_t width, size_t *widths)
{
	size_t *most;

	for (size_t c = 0; c < t->columns_count; c++) {
		widths[c] = utf8_width(t->columns[c].title);
		for (size_t i = 0; i < t->rows_count; i++)
			if (!t->rows[i].note && utf8_width(t->rows[i].texts[c]) > widths[c])
				widths[c] = utf8_width(t->rows[i].texts[c]);
	}
	while (width && row_width(t, widths) > width && (most = widest(t, widths)))
		--*most;
}

/* --- printing ----------------------------------------------------------- */

static int spaces(struct buffer *out, size_t count)
{
	return buffer_printf(out, "%*s", (int)count, "");
}

static int print_cut(struct buffer *out, const char *text, size_t width)
{
	if (utf8_width(text) <= width)
		return buffer_append(out, text, strlen(text));
	return buffer_printf(out, "%.*s\xe2\x80\xa6", (int)utf8_fit(text, width - 1),
			     text); /* ... */
}

static int print_cell(struct buffer *out, const struct table_column *column, const char *text,
		      enum style style, size_t width, bool last, bool colour)
{
	size_t used = utf8_width(text) < width ? utf8_width(text) : width;
	int rc = spaces(out, column->right ? width - used : 0);

	if (rc == 0)
		rc = style_on(out, style, colour);
	if (rc == 0)
		rc = print_cut(out, text, width);
	if (rc == 0)
		rc = style_off(out, style, colour);
	if (rc == 0 && !last)
		rc = spaces(out, (column->right ? 0 : width - used) + GAP);
	return rc;
}

/* Blanks at the end of a line are only in the way of who copies it. */
static void trim(struct buffer *out, size_t start)
{
	while (out->length > start && out->data[out->length - 1] == ' ')
		out->data[--out->length] = '\0';
}

static int print_row(const struct table *t, char *const *texts, const enum style *styles,
		     const size_t *widths, bool colour, struct buffer *out)
{
	size_t start = out->length;
	int rc = spaces(out, t->indent);

	for (size_t c = 0; c < t->columns_count && rc == 0; c++)
		rc = print_cell(out, &t->columns[c], texts[c], styles[c], widths[c],
				c + 1 == t->columns_count, colour);
	if (rc < 0)
		return rc;
	trim(out, start);
	return buffer_append(out, "\n", 1);
}

static int print_titles(const struct table *t, const size_t *widths, bool colour,
			struct buffer *out)
{
	char *texts[COLUMNS_MAX];
	enum style styles[COLUMNS_MAX];

	for (size_t c = 0; c < t->columns_count; c++) {
		texts[c] = (char *)t->columns[c].title; /* read only there */
		styles[c] = STYLE_DIM;
	}
	return print_row(t, texts, styles, widths, colour, out);
}

/* As much of `text` as fits, up to a blank where there is one. */
static size_t line_break(const char *text, size_t columns)
{
	size_t fits = utf8_fit(text, columns), at = fits;

	if (!text[fits])
		return fits;
	while (at > 0 && text[at] != ' ')
		at--;
	return at ? at : fits;
}

static int print_note(const struct table *t, const struct row *row, size_t width, bool colour,
		      struct buffer *out)
{
	const char *text = row->texts[0];
	size_t indent = t->indent + NOTE_INDENT;
	size_t columns = width > indent + TABLE_LEAST ? width - indent : SIZE_MAX;

	do {
		size_t length = line_break(text, columns);
		int rc = spaces(out, indent);

		if (rc == 0)
			rc = style_on(out, row->styles[0], colour);
		if (rc == 0)
			rc = buffer_append(out, text, length);
		if (rc == 0)
			rc = style_off(out, row->styles[0], colour);
		if (rc == 0)
			rc = buffer_append(out, "\n", 1);
		if (rc < 0)
			return rc;
		text += length;
		text += strspn(text, " ");
	} while (*text);
	return 0;
}

int table_print(const struct table *t, size_t width, bool colour, struct buffer *out)
{
	size_t widths[COLUMNS_MAX];
	int rc;

	measure(t, width, widths);
	rc = print_titles(t, widths, colour, out);
	for (size_t i = 0; i < t->rows_count && rc == 0; i++) {
		const struct row *row = &t->rows[i];

		rc = row->note ? print_note(t, row, width, colour, out)
			       : print_row(t, row->texts, row->styles, widths, colour, out);
	}
	return rc;
}
