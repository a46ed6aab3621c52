#include "base/config.h"

#include "base/fd.h"
#include "base/units.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define CONFIG_FILE_MAX ((size_t)1 << 20)

/* One parse: the parser, and the containers that are open, outermost first. */
struct reading {
	const char *name;
	struct error *err;
	yaml_parser_t parser;
	struct {
		struct config *node;
		struct config *last; /* its newest member */
		char *key;           /* read, and waiting for its value; owned */
	} open[CONFIG_DEPTH_MAX];
	int depth;
	size_t nodes;
	struct config *root;
};

static int complain_at(const struct reading *r, yaml_mark_t at, const char *sentence)
{
	return error_say(r->err, EINVAL, "%s:%zu:%zu: %s", r->name, at.line + 1, at.column + 1, sentence);
}

void config_free(struct config *c)
{
	while (c) {
		struct config *next = c->next;

		config_free(c->first); /* as deep as CONFIG_DEPTH_MAX */
		free(c->key);
		free(c->text);
		free(c);
		c = next;
	}
}

const struct config *config_get(const struct config *map, const char *key)
{
	const struct config *c = map && map->kind == CONFIG_MAP ? map->first : NULL;

	while (c && strcmp(c->key, key) != 0)
		c = c->next;
	return c;
}

/* --- building the tree ---------------------------------------------------------------------- */

/* Hangs a new value where the reading stands. The tree owns it, also on failure. */
static int add(struct reading *r, enum config_kind kind, yaml_mark_t at, struct config **out)
{
	owned(config) *c = calloc(1, sizeof(*c));

	if (!c)
		return error_set(r->err, ENOMEM, "read %s", r->name);
	if (++r->nodes > CONFIG_NODES_MAX)
		return complain_at(r, at, "too many values in one file");
	c->kind = kind;
	c->line = (unsigned)at.line + 1;
	c->column = (unsigned)at.column + 1;
	*out = c;
	if (r->depth == 0) {
		if (r->root)
			return complain_at(r, at, "only one document is allowed in a file");
		r->root = give(c);
		return 0;
	}
	c->key = give(r->open[r->depth - 1].key);
	if (r->open[r->depth - 1].last)
		r->open[r->depth - 1].last->next = c;
	else
		r->open[r->depth - 1].node->first = c;
	r->open[r->depth - 1].last = c;
	r->open[r->depth - 1].node->count++;
	(void)give(c);
	return 0;
}

static int open_container(struct reading *r, enum config_kind kind, const yaml_event_t *event)
{
	struct config *c;
	int rc;

	if (r->depth && r->open[r->depth - 1].node->kind == CONFIG_MAP && !r->open[r->depth - 1].key)
		return complain_at(r, event->start_mark, "a key must be a plain string");
	if (r->depth == CONFIG_DEPTH_MAX)
		return complain_at(r, event->start_mark, "nested too deeply");
	rc = add(r, kind, event->start_mark, &c);
	if (rc < 0)
		return rc;
	r->open[r->depth].node = c;
	r->open[r->depth].last = NULL;
	r->open[r->depth].key = NULL;
	r->depth++;
	return 0;
}

/* The scalar's text; NULs have no place in any of our files. */
static int scalar_text(struct reading *r, const yaml_event_t *event, char **out)
{
	size_t length = event->data.scalar.length;

	if (memchr(event->data.scalar.value, '\0', length))
		return complain_at(r, event->start_mark, "a NUL character is not allowed");
	*out = strndup((const char *)event->data.scalar.value, length);
	return *out ? 0 : error_set(r->err, ENOMEM, "read %s", r->name);
}

static int take_key(struct reading *r, const yaml_event_t *event, char *text)
{
	const struct config *twin = config_get(r->open[r->depth - 1].node, text);
	char sentence[160];

	if (twin) {
		(void)snprintf(sentence, sizeof(sentence), "'%.60s' is given twice, first in line %u", text,
			       twin->line);
		free(text);
		return complain_at(r, event->start_mark, sentence);
	}
	r->open[r->depth - 1].key = text;
	return 0;
}

static int take_scalar(struct reading *r, const yaml_event_t *event)
{
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct config *c;
	owned_str *text = NULL;
	int rc;

	if (event->data.scalar.anchor)
		return complain_at(r, event->start_mark, "anchors (&name) are not allowed; write the value out");
	if (event->data.scalar.tag)
		return complain_at(r, event->start_mark, "tags (!name) are not allowed");
	rc = scalar_text(r, event, &text);
	if (rc < 0)
		return rc;
	if (r->depth && r->open[r->depth - 1].node->kind == CONFIG_MAP && !r->open[r->depth - 1].key)
		return take_key(r, event, give(text));
	rc = add(r, CONFIG_SCALAR, event->start_mark, &c);
	if (rc < 0)
		return rc;
	c->text = give(text);
	c->quoted = !plain;
	return 0;
}

/* --- the events of libyaml ------------------------------------------------------------------- */

static int take_event(struct reading *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(r, event);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor)
			return complain_at(r, event->start_mark,
					   "anchors (&name) are not allowed; write the value out");
		if (event->data.mapping_start.tag)
			return complain_at(r, event->start_mark, "tags (!name) are not allowed");
		return open_container(r, CONFIG_MAP, event);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor)
			return complain_at(r, event->start_mark,
					   "anchors (&name) are not allowed; write the value out");
		if (event->data.sequence_start.tag)
			return complain_at(r, event->start_mark, "tags (!name) are not allowed");
		return open_container(r, CONFIG_LIST, event);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		r->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return complain_at(r, event->start_mark, "aliases (*name) are not allowed; write the value out");
	case YAML_DOCUMENT_START_EVENT:
		if (r->root)
			return complain_at(r, event->start_mark, "only one document is allowed in a file");
		return 0;
	default:
		return 0;
	}
}

static int tell_parser_error(const struct reading *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "cannot be read as YAML";

	if (p->error == YAML_MEMORY_ERROR)
		return error_set(r->err, ENOMEM, "read %s", r->name);
	if (p->error == YAML_READER_ERROR)
		return error_say(r->err, EINVAL, "%s: at byte %zu: %s", r->name, p->problem_offset, problem);
	return complain_at(r, p->problem_mark, problem);
}

static int read_events(struct reading *r)
{
	for (;;) {
		yaml_event_t event;
		bool end;
		int rc;

		if (!yaml_parser_parse(&r->parser, &event))
			return tell_parser_error(r);
		end = event.type == YAML_STREAM_END_EVENT;
		rc = take_event(r, &event);
		yaml_event_delete(&event);
		if (rc < 0 || end)
			return rc;
	}
}

int config_parse(const char *name, const void *bytes, size_t length, struct config **out,
		 struct error *err)
{
	struct reading r = {.name = name, .err = err};
	int rc;

	if (length && memchr(bytes, '\0', length))
		return error_say(err, EINVAL, "%s: it holds a NUL character; it must be text", name);
	if (!yaml_parser_initialize(&r.parser))
		return error_set(err, ENOMEM, "read %s", name);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, bytes ? bytes : (const void *)"", length);
	rc = read_events(&r);
	yaml_parser_delete(&r.parser);
	for (int i = 0; i < CONFIG_DEPTH_MAX; i++)
		free(r.open[i].key);
	if (rc == 0 && !r.root) {
		r.root = calloc(1, sizeof(*r.root));
		if (!r.root)
			return error_set(err, ENOMEM, "read %s", name);
		r.root->kind = CONFIG_MAP;
		r.root->line = r.root->column = 1;
	}
	if (rc < 0)
		config_free(r.root);
	else
		*out = r.root;
	return rc;
}

int config_read(const char *path, struct config **out, struct error *err)
{
	owned_buffer bytes = {0};
	owned_fd dir = -1;
	const char *slash = strrchr(path, '/');
	owned_str *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int rc;

	if (!folder)
		return error_set(err, ENOMEM, "read %s", path);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, errno, "read %s", path);
	rc = fd_read_file(dir, slash ? slash + 1 : path, CONFIG_FILE_MAX, &bytes);
	if (rc < 0)
		return error_set(err, -rc, "read %s", path);
	return config_parse(path, bytes.data, bytes.length, out, err);
}

/* --- complaints ------------------------------------------------------------------------------ */

int config_complain(const char *name, const struct config *c, struct error *err, const char *format, ...)
{
	char sentence[320];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, args); /* cut when too long */
	va_end(args);
	return error_say(err, EINVAL, "%s:%u:%u: %s", name, c->line, c->column, sentence);
}

/* Edit distance of two short words, for "did you mean". */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[33];
	size_t la = strlen(a), lb = strlen(b);

	if (la > 32 || lb > 32)
		return 99;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);
			unsigned best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;

			corner = row[j];
			row[j] = change < best ? change : best;
		}
	}
	return row[lb];
}

static const char *nearest(const char *word, const char *const *known)
{
	const char *best = NULL;
	unsigned least = 3; /* farther than two edits is another word */

	for (; *known; known++)
		if (distance(word, *known) < least) {
			least = distance(word, *known);
			best = *known;
		}
	return best;
}

static int complain_unknown(const char *name, const struct config *c, const char *const *known,
			    struct error *err)
{
	owned_buffer list = {0};
	const char *near = nearest(c->key, known);

	if (near)
		return config_complain(name, c, err, "unknown key '%.60s'; did you mean '%s'?", c->key, near);
	for (; *known; known++)
		(void)buffer_printf(&list, "%s%s", list.length ? ", " : "", *known); /* shorter on ENOMEM */
	return config_complain(name, c, err, "unknown key '%.60s'; known are: %s", c->key,
			       list.data ? list.data : "none");
}

int config_check_keys(const char *name, const struct config *map, const char *const *known,
		      struct error *err)
{
	if (map->kind != CONFIG_MAP)
		return config_complain(name, map, err, "expected `key: value` lines");
	for (const struct config *c = map->first; c; c = c->next) {
		const char *const *k = known;

		while (*k && strcmp(*k, c->key) != 0)
			k++;
		if (!*k)
			return complain_unknown(name, c, known, err);
	}
	return 0;
}

/* --- typed readings -------------------------------------------------------------------------- */

int config_as_string(const char *name, const struct config *c, const char **out, struct error *err)
{
	if (c->kind != CONFIG_SCALAR)
		return config_complain(name, c, err, "'%.60s' must be a single value, not a %s",
				       c->key ? c->key : "it", c->kind == CONFIG_LIST ? "list" : "map");
	*out = c->text;
	return 0;
}

int config_as_bool(const char *name, const struct config *c, bool *out, struct error *err)
{
	const char *text;
	int rc = config_as_string(name, c, &text, err);

	if (rc < 0)
		return rc;
	if (c->quoted || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
		return config_complain(name, c, err, "'%.60s' must be true or false", c->key ? c->key : "it");
	*out = text[0] == 't';
	return 0;
}

int config_as_count(const char *name, const struct config *c, uint64_t min, uint64_t max, uint64_t *out,
		    struct error *err)
{
	const char *text;
	uint64_t n;
	char *end;
	int rc = config_as_string(name, c, &text, err);

	if (rc < 0)
		return rc;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (c->quoted || text[0] < '0' || text[0] > '9' || *end || errno || n < min || n > max)
		return config_complain(name, c, err, "'%.60s' must be a whole number from %llu to %llu",
				       c->key ? c->key : "it", (unsigned long long)min,
				       (unsigned long long)max);
	*out = n;
	return 0;
}

/* A reading by one of the parsers of units.h. */
static int as_unit(const char *name, const struct config *c, int (*parse)(const char *, uint64_t *),
		   const char *expected, uint64_t *out, struct error *err)
{
	const char *text;
	int rc = config_as_string(name, c, &text, err);

	if (rc < 0)
		return rc;
	rc = parse(text, out);
	if (rc < 0)
		return config_complain(name, c, err, "'%.60s' must be %s%s", c->key ? c->key : "it", expected,
				       rc == -ERANGE ? "; this one is too large" : "");
	return 0;
}

int config_as_size(const char *name, const struct config *c, uint64_t *out, struct error *err)
{
	return as_unit(name, c, units_parse_size, "a size as 512M or 2G", out, err);
}

int config_as_time(const char *name, const struct config *c, uint64_t *out_ms, struct error *err)
{
	return as_unit(name, c, units_parse_time, "a time as 90s or 10m", out_ms, err);
}

int config_as_milli(const char *name, const struct config *c, uint64_t *out, struct error *err)
{
	return as_unit(name, c, units_parse_milli, "a number as 2 or 1.5", out, err);
}
