#include "observer/cursor.h"

#include "base/owned.h"

#include <stdio.h>
#include <string.h>

#define VERSION 1

void cursor_done(struct cursor *c)
{
	free(c->repository);
	refs_done(&c->refs);
	free(c->seen);
	*c = (struct cursor){0};
}

int cursor_see(struct cursor *c, const struct oid *id)
{
	size_t at = 0;

	if (!c->seen) {
		c->seen = calloc(CURSOR_SEEN_MAX, sizeof(*c->seen));
		if (!c->seen)
			return -ENOMEM;
	}
	while (at < c->seen_count && !oid_equal(&c->seen[at], id))
		at++;
	if (at == c->seen_count && c->seen_count < CURSOR_SEEN_MAX) {
		c->seen[c->seen_count++] = *id;
		return 0;
	}
	if (at == c->seen_count)
		at = 0; /* full: the oldest goes */
	memmove(&c->seen[at], &c->seen[at + 1], (c->seen_count - at - 1) * sizeof(*c->seen));
	c->seen[c->seen_count - 1] = *id;
	return 0;
}

/* --- reading ------------------------------------------------------------ */

struct reader {
	struct cursor *cursor;
	unsigned line;
	bool ended;
	struct error *err;
};

static int complain(struct reader *r, const char *sentence)
{
	return error_say(r->err, EBADMSG, "line %u: %s", r->line, sentence);
}

/* What follows `word` and a space, or NULL. */
static const char *after(const char *line, const char *word)
{
	size_t length = strlen(word);

	return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static int read_version(struct reader *r, const char *line)
{
	const char *text = after(line, "cupel-cursor");
	unsigned version;
	char more;

	if (!text || sscanf(text, "%9u%c", &version, &more) != 1 || version == 0)
		return complain(r, "this is no cursor");
	if (version > VERSION)
		return error_say(r->err, EPROTO,
				 "it is of version %u, newer than this program knows", version);
	return 0;
}

static int read_repository(struct reader *r, const char *line)
{
	const char *text = after(line, "repository");

	if (!text || !*text)
		return complain(r, "the repository's path or URL should stand here");
	r->cursor->repository = strdup(text);
	return r->cursor->repository ? 0 : error_set(r->err, ENOMEM, "read cursor");
}

static int read_ref(struct reader *r, const char *text)
{
	struct oid id;
	int rc;

	if (!oid_parse(text, &id) || text[OID_HEX] != ' ' || !text[OID_HEX + 1])
		return complain(r, "a ref is 40 hex digits and a name");
	text += OID_HEX + 1;
	if (r->cursor->refs.count &&
	    strcmp(r->cursor->refs.items[r->cursor->refs.count - 1].name, text) >= 0)
		return complain(r, "refs must be sorted and be there once");
	rc = refs_add(&r->cursor->refs, text, strlen(text), &id);
	return rc < 0 ? error_set(r->err, -rc, "line %u", r->line) : 0;
}

static int read_seen(struct reader *r, const char *text)
{
	struct oid id;
	int rc;

	if (!oid_parse(text, &id) || text[OID_HEX])
		return complain(r, "a seen id is 40 hex digits");
	rc = cursor_see(r->cursor, &id);
	return rc < 0 ? error_set(r->err, -rc, "line %u", r->line) : 0;
}

static int read_end(struct reader *r, const char *text)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "%zu %zu", r->cursor->refs.count,
		       r->cursor->seen_count);
	if (strcmp(text, expected) != 0)
		return complain(r, "the counts don't fit: lines are missing");
	r->ended = true;
	return 0;
}

static int read_line(struct reader *r, const char *line)
{
	const char *text;

	if (r->ended)
		return complain(r, "nothing may follow the end");
	if (r->line == 1)
		return read_version(r, line);
	if (r->line == 2)
		return read_repository(r, line);
	if ((text = after(line, "ref")))
		return read_ref(r, text);
	if ((text = after(line, "seen")))
		return read_seen(r, text);
	if ((text = after(line, "end")))
		return read_end(r, text);
	return complain(r, "it starts with no known word");
}

static int read_lines(struct reader *r, const char *at, const char *end)
{
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		owned_str *line = NULL;
		int rc;

		r->line++;
		if (!stop || memchr(at, '\0', (size_t)(stop - at)))
			return complain(r, stop ? "it holds a NUL" : "it is cut");
		line = strndup(at, (size_t)(stop - at));
		if (!line)
			return error_set(r->err, ENOMEM, "read cursor");
		rc = read_line(r, line);
		if (rc < 0)
			return rc;
		at = stop + 1;
	}
	return r->ended ? 0 : complain(r, "the end is missing");
}

int cursor_parse(const void *bytes, size_t length, struct cursor *out, struct error *err)
{
	owned_cursor c = {0};
	struct reader r = {.cursor = &c, .err = err};
	int rc = read_lines(&r, bytes, (const char *)bytes + length);

	if (rc < 0)
		return rc;
	*out = c;
	c = (struct cursor){0};
	return 0;
}

/* --- writing ------------------------------------------------------------ */

int cursor_format(const struct cursor *c, struct buffer *out)
{
	char hex[OID_HEX + 1];
	int rc = buffer_printf(out, "cupel-cursor %d\nrepository %s\n", VERSION, c->repository);

	for (size_t i = 0; rc == 0 && i < c->refs.count; i++) {
		oid_format(&c->refs.items[i].id, hex);
		rc = buffer_printf(out, "ref %s %s\n", hex, c->refs.items[i].name);
	}
	for (size_t i = 0; rc == 0 && i < c->seen_count; i++) {
		oid_format(&c->seen[i], hex);
		rc = buffer_printf(out, "seen %s\n", hex);
	}
	if (rc == 0)
		rc = buffer_printf(out, "end %zu %zu\n", c->refs.count, c->seen_count);
	return rc;
}
