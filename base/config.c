#include "base/config.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* A file's owner writes it by hand; a megabyte is far more than that. */
#define FILE_MAX ((size_t)1 << 20)

struct reader {
	const char *name;
	struct error *err;
	yaml_parser_t yaml;
	yaml_event_t event; /* the current one */
	size_t nodes;
};

struct place {
	unsigned line, column; /* from 1 */
};

static struct place place_of_mark(const yaml_mark_t *mark)
{
	return (struct place){(unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static int __attribute__((format(printf, 4, 0)))
complain_at(const char *name, struct place at, struct error *err, const char *format, va_list args)
{
	char sentence[sizeof(err->text)];

	(void)vsnprintf(sentence, sizeof(sentence), format, args); /* cut when too long */
	return error_say(err, EINVAL, "%.200s:%u:%u: %s", name, at.line, at.column, sentence);
}

int config_complain(const char *name, const struct config *c, struct error *err, const char *format,
		    ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = complain_at(name, (struct place){c->line, c->column}, err, format, args);
	va_end(args);
	return rc;
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct reader *r, struct place at, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = complain_at(r->name, at, r->err, format, args);
	va_end(args);
	return rc;
}

/* --- text: UTF-8 without NULs --- */

/* The length of the character at `at`, 0 when there is none: overlong forms, halves of pairs and
 * what lies beyond Unicode aren't characters. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = at[0] < 0x80             ? 1
			: (at[0] & 0xe0) == 0xc0 ? 2
			: (at[0] & 0xf0) == 0xe0 ? 3
			: (at[0] & 0xf8) == 0xf0 ? 4
						 : 0;
	uint32_t value;

	if (length <= 1)
		return length;
	if (length > left)
		return 0;
	value = at[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return length;
}

/* libyaml tells such mistakes by the byte's offset alone, so they are found here. */
static int check_text(struct reader *r, const unsigned char *bytes, size_t length)
{
	struct place at = {1, 1};

	for (size_t i = 0; i < length;) {
		size_t step = utf8_length(bytes + i, length - i);
		unsigned char c = bytes[i];

		if (!step)
			return refuse(r, at, "this is not UTF-8 text (byte 0x%02x)", c);
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return refuse(r, at, "a control character (0x%02x) is not allowed", c);
		at.column++;
		if (c == '\n')
			at = (struct place){at.line + 1, 1};
		i += step;
	}
	return 0;
}

/* --- events into a tree --- */

static int next_event(struct reader *r)
{
	struct place at;

	yaml_event_delete(&r->event);
	if (yaml_parser_parse(&r->yaml, &r->event))
		return 0;
	if (r->yaml.error == YAML_MEMORY_ERROR)
		return error_set(r->err, ENOMEM, "read %.200s", r->name);
	at = place_of_mark(&r->yaml.problem_mark);
	if (r->yaml.error == YAML_READER_ERROR) /* it tells no place */
		at = place_of_mark(&r->yaml.mark);
	return refuse(r, at, "%s", r->yaml.problem ? r->yaml.problem : "this is not YAML");
}

static int refuse_extras(struct reader *r, struct place at, const yaml_char_t *anchor,
			 const yaml_char_t *tag)
{
	if (anchor)
		return refuse(r, at, "anchors (&name) are not allowed: write it out");
	if (tag)
		return refuse(r, at, "tags (!name) are not allowed: quote it if it is text");
	return 0;
}

static int parse_scalar(struct reader *r, struct config *c)
{
	const char *value = (const char *)r->event.data.scalar.value;
	size_t length = r->event.data.scalar.length;

	if (memchr(value, '\0', length))
		return refuse(r, (struct place){c->line, c->column}, "a text can't hold a NUL");
	c->kind = CONFIG_SCALAR;
	c->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	c->text = strndup(value, length);
	return c->text ? 0 : error_set(r->err, ENOMEM, "read %.200s", r->name);
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* The current event is a member's name; it goes into `c`. */
static int parse_key(struct reader *r, struct config *c)
{
	struct place at = place_of_mark(&r->event.start_mark);
	struct config key = {.line = at.line, .column = at.column};
	int rc;

	c->key_line = at.line;
	c->key_column = at.column;
	if (r->event.type != YAML_SCALAR_EVENT)
		return refuse(r, at, "a name must be a plain text");
	rc = refuse_extras(r, at, r->event.data.scalar.anchor, r->event.data.scalar.tag);
	if (rc == 0)
		rc = parse_scalar(r, &key);
	if (rc < 0 || !key.text)
		return rc;
	c->key = key.text;
	if (!*c->key || has_control(c->key))
		return refuse(r, at, "a name must be a plain text%s",
			      *c->key ? ", without line breaks" : "; this one is empty");
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct config *left = *(const struct config *const *)a;
	const struct config *right = *(const struct config *const *)b;
	int order = strcmp(left->key, right->key);

	if (order != 0)
		return order;
	if (left->key_line != right->key_line)
		return left->key_line < right->key_line ? -1 : 1;
	return left->key_column < right->key_column ? -1 : 1;
}

/* By sorting, for a stranger may write a map of twenty thousand names. */
static int check_duplicates(struct reader *r, const struct config *map)
{
	struct config **sorted;
	size_t i = 0;
	int rc = 0;

	if (map->count < 2)
		return 0;
	sorted = calloc(map->count, sizeof(*sorted));
	if (!sorted)
		return error_set(r->err, ENOMEM, "read %.200s", r->name);
	for (struct config *c = map->first; c; c = c->next)
		sorted[i++] = c;
	qsort(sorted, map->count, sizeof(*sorted), compare_keys);
	for (i = 1; i < map->count && rc == 0; i++)
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
			rc = refuse(r, (struct place){sorted[i]->key_line, sorted[i]->key_column},
				    "'%.60s' stands here a second time, after line %u",
				    sorted[i]->key, sorted[i - 1]->key_line);
	free(sorted);
	return rc;
}

static int parse_node(struct reader *r, struct config *c, unsigned depth);

/* The members of `c`, up to `end`; each is hung into the tree before it is read, so that the tree
 * owns it whatever happens. */
static int parse_members(struct reader *r, struct config *c, yaml_event_type_t end, unsigned depth)
{
	struct config **tail = &c->first;

	for (;;) {
		struct config *member;
		int rc = next_event(r);

		if (rc < 0 || r->event.type == end)
			return rc;
		member = calloc(1, sizeof(*member));
		if (!member)
			return error_set(r->err, ENOMEM, "read %.200s", r->name);
		*tail = member;
		tail = &member->next;
		c->count++;
		if (c->kind == CONFIG_MAP) {
			rc = parse_key(r, member);
			if (rc == 0)
				rc = next_event(r);
		}
		if (rc == 0)
			rc = parse_node(r, member, depth + 1);
		if (rc < 0)
			return rc;
	}
}

static int parse_list(struct reader *r, struct config *c, unsigned depth)
{
	c->kind = CONFIG_LIST;
	return parse_members(r, c, YAML_SEQUENCE_END_EVENT, depth);
}

static int parse_map(struct reader *r, struct config *c, unsigned depth)
{
	int rc;

	c->kind = CONFIG_MAP;
	rc = parse_members(r, c, YAML_MAPPING_END_EVENT, depth);
	return rc < 0 ? rc : check_duplicates(r, c);
}

/* The current event begins a value; it goes into `c`. */
static int parse_node(struct reader *r, struct config *c, unsigned depth)
{
	const yaml_event_t *e = &r->event;
	struct place at = place_of_mark(&e->start_mark);
	int rc;

	c->line = at.line;
	c->column = at.column;
	if (e->type == YAML_ALIAS_EVENT)
		return refuse(r, at, "aliases (*name) are not allowed: write it out");
	if (depth > CONFIG_DEPTH_MAX)
		return refuse(r, at, "more than %d levels", CONFIG_DEPTH_MAX);
	if (++r->nodes > CONFIG_NODES_MAX)
		return refuse(r, at, "more than %d values", CONFIG_NODES_MAX);
	if (e->type == YAML_SCALAR_EVENT) {
		rc = refuse_extras(r, at, e->data.scalar.anchor, e->data.scalar.tag);
		return rc < 0 ? rc : parse_scalar(r, c);
	}
	if (e->type == YAML_SEQUENCE_START_EVENT) {
		rc = refuse_extras(r, at, e->data.sequence_start.anchor,
				   e->data.sequence_start.tag);
		return rc < 0 ? rc : parse_list(r, c, depth);
	}
	rc = refuse_extras(r, at, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	return rc < 0 ? rc : parse_map(r, c, depth);
}

/* Stream start, at most one document, stream end. */
static int parse_stream(struct reader *r, struct config *root)
{
	int rc = next_event(r); /* the stream's start */

	if (rc == 0)
		rc = next_event(r);
	if (rc < 0 || r->event.type == YAML_STREAM_END_EVENT)
		return rc;
	if (r->event.data.document_start.version_directive ||
	    r->event.data.document_start.tag_directives.start !=
		    r->event.data.document_start.tag_directives.end)
		return refuse(r, place_of_mark(&r->event.start_mark),
			      "directives (%%NAME) are not allowed");
	rc = next_event(r);
	if (rc == 0)
		rc = parse_node(r, root, 1);
	if (rc == 0)
		rc = next_event(r); /* the document's end */
	if (rc == 0)
		rc = next_event(r);
	if (rc == 0 && r->event.type != YAML_STREAM_END_EVENT)
		rc = refuse(r, place_of_mark(&r->event.start_mark),
			    "a second document: one file holds one");
	return rc;
}

/* A document of nothing but comments is an empty map. */
static void empty_is_a_map(struct config *root)
{
	if (root->kind == CONFIG_SCALAR && (!root->text || (!*root->text && !root->quoted))) {
		free(root->text);
		*root = (struct config){.kind = CONFIG_MAP, .line = 1, .column = 1};
	}
}

int config_parse(const char *name, const void *bytes, size_t length, struct config **out,
		 struct error *err)
{
	owned(config) *root = calloc(1, sizeof(*root));
	struct reader r = {.name = name, .err = err};
	int rc;

	if (!root)
		return error_set(err, ENOMEM, "read %.200s", name);
	rc = check_text(&r, bytes, length);
	if (rc < 0)
		return rc;
	if (!yaml_parser_initialize(&r.yaml))
		return error_set(err, ENOMEM, "read %.200s", name);
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, length ? bytes : (const void *)"", length);
	rc = parse_stream(&r, root);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.yaml);
	if (rc < 0)
		return rc;
	empty_is_a_map(root);
	*out = give(root);
	return 0;
}

int config_read(const char *path, struct config **out, struct error *err)
{
	owned_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	owned_str *bytes = malloc(FILE_MAX + 1);
	ssize_t length;

	if (fd < 0)
		return error_set(err, errno, "open %.200s", path);
	if (!bytes)
		return error_set(err, ENOMEM, "read %.200s", path);
	length = fd_read_all(fd, bytes, FILE_MAX + 1);
	if (length < 0)
		return error_set(err, (int)-length, "read %.200s", path);
	if ((size_t)length > FILE_MAX)
		return error_say(err, EFBIG, "%.200s: more than 1 MiB is not read", path);
	return config_parse(path, bytes, (size_t)length, out, err);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (struct config *member = c->first, *next; member; member = next) {
		next = member->next;
		config_free(member);
	}
	free(c->key);
	free(c->text);
	free(c);
}
