/* config_value.c - what a program takes out of a config tree, and what it says when it can't. */
#include "base/buffer.h"
#include "base/config.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Names longer than this are nobody's misspelling. */
#define GUESS_MAX 40

/* A stranger's text in a message: its beginning, without control characters. */
struct shown {
	char text[48];
};

static struct shown show(const char *text)
{
	struct shown s = {0};
	size_t i;

	for (i = 0; text[i] && i + 4 < sizeof(s.text); i++)
		s.text[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
	if (!text[i])
		return s;
	while (i > 0 && ((unsigned char)text[i] & 0xc0) == 0x80) /* not amid a character */
		i--;
	strcpy(s.text + i, "...");
	return s;
}

static const char *kind_name(const struct config *c)
{
	static const char *const names[] = {"a text", "a list", "a map"};

	return c->kind == CONFIG_SCALAR && !*c->text && !c->quoted ? "nothing" : names[c->kind];
}

struct label {
	char text[sizeof(struct shown) + 4];
};

/* "'timeout': " for a map's member, nothing for the others. */
static struct label label(const struct config *c)
{
	struct label l = {""};

	if (c->key)
		(void)snprintf(l.text, sizeof(l.text), "'%s': ", show(c->key).text);
	return l;
}

/* As people read it: "'timeout': expected a time such as 90s, not 'soon'". */
static int expected(const char *name, const struct config *c, struct error *err, const char *what)
{
	if (c->kind == CONFIG_SCALAR && *c->text)
		return config_complain(name, c, err, "%sexpected %s, not %s%s%s", label(c).text,
				       what, c->quoted ? "the quoted '" : "'", show(c->text).text,
				       "'");
	return config_complain(name, c, err, "%sexpected %s, not %s", label(c).text, what,
			       kind_name(c));
}

const struct config *config_get(const struct config *map, const char *key)
{
	if (map->kind != CONFIG_MAP)
		return NULL;
	for (const struct config *c = map->first; c; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}

/* --- keys --- */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* How many letters must be put in, taken out or changed to make one of the other. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[GUESS_MAX + 1];
	size_t width = strlen(b);

	if (strlen(a) > GUESS_MAX || width > GUESS_MAX)
		return GUESS_MAX;
	for (size_t j = 0; j <= width; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < width; j++) {
			unsigned above = row[j + 1];

			row[j + 1] = least(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
			diagonal = above;
		}
	}
	return row[width];
}

/* The known key that `key` may have meant, or NULL: a third of it may be wrong. */
static const char *nearest(const char *key, const char *const *known)
{
	unsigned best = (unsigned)(strlen(key) + 2) / 3 + 1;
	const char *found = NULL;

	for (; *known; known++) {
		unsigned d = distance(key, *known);

		if (d < best) {
			best = d;
			found = *known;
		}
	}
	return found;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(key, *known) == 0)
			return true;
	return false;
}

static int complain_unknown(const char *name, const struct config *c, const char *const *known,
			    struct error *err)
{
	struct config at = {.line = c->key_line, .column = c->key_column};
	const char *near = nearest(c->key, known);
	owned_buffer list = {0};

	if (near)
		return config_complain(name, &at, err, "unknown key '%s'; did you mean '%s'?",
				       show(c->key).text, near);
	for (; *known; known++)
		(void)buffer_printf(&list, "%s%s", list.length ? ", " : "", *known); /* a hint */
	return config_complain(name, &at, err, "unknown key '%s'; known are: %s", show(c->key).text,
			       list.data ? list.data : "none");
}

int config_check_keys(const char *name, const struct config *map, const char *const *known,
		      struct error *err)
{
	if (map->kind != CONFIG_MAP)
		return expected(name, map, err, "a map (NAME: VALUE)");
	for (const struct config *c = map->first; c; c = c->next)
		if (!is_known(c->key, known))
			return complain_unknown(name, c, known, err);
	return 0;
}

/* --- typed readings --- */

int config_as_string(const char *name, const struct config *c, const char **out, struct error *err)
{
	if (c->kind != CONFIG_SCALAR || (!*c->text && !c->quoted))
		return expected(name, c, err, "a text");
	*out = c->text;
	return 0;
}

int config_as_bool(const char *name, const struct config *c, bool *out, struct error *err)
{
	bool plain = c->kind == CONFIG_SCALAR && !c->quoted;

	if (plain && strcmp(c->text, "true") == 0)
		*out = true;
	else if (plain && strcmp(c->text, "false") == 0)
		*out = false;
	else
		return expected(name, c, err, "true or false");
	return 0;
}

/* Digits alone; 010 is eight to one reader and ten to the next, so it is neither. */
static int parse_count(const char *text, uint64_t *out)
{
	uint64_t n = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -ERANGE;
	}
	*out = n;
	return 0;
}

int config_as_count(const char *name, const struct config *c, uint64_t min, uint64_t max,
		    uint64_t *out, struct error *err)
{
	char what[96];
	uint64_t n = 0;

	(void)snprintf(what, sizeof(what), "a whole number from %" PRIu64 " to %" PRIu64, min, max);
	if (c->kind != CONFIG_SCALAR || c->quoted || parse_count(c->text, &n) < 0 || n < min ||
	    n > max)
		return expected(name, c, err, what);
	*out = n;
	return 0;
}

static int as_unit(const char *name, const struct config *c, const char *what,
		   int (*parse)(const char *, uint64_t *), uint64_t *out, struct error *err)
{
	int rc = c->kind == CONFIG_SCALAR && !c->quoted ? parse(c->text, out) : -EINVAL;

	if (rc == -ERANGE)
		return config_complain(name, c, err, "%s'%s' is too much", label(c).text,
				       show(c->text).text);
	return rc < 0 ? expected(name, c, err, what) : 0;
}

int config_as_size(const char *name, const struct config *c, uint64_t *out, struct error *err)
{
	return as_unit(name, c, "a size such as 512M", units_parse_size, out, err);
}

int config_as_time(const char *name, const struct config *c, uint64_t *out_ms, struct error *err)
{
	return as_unit(name, c, "a time such as 90s or 1h30m", units_parse_time, out_ms, err);
}

int config_as_milli(const char *name, const struct config *c, uint64_t *out, struct error *err)
{
	return as_unit(name, c, "a number such as 2 or 1.5", units_parse_milli, out, err);
}
