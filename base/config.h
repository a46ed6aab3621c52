/* config.h - the strict YAML subset that all our files are written in, as a tree that knows where
 * each value stood.
 *
 * Pure: bytes in, tree out. Refused with line and column: aliases, anchors, tags, directives,
 * duplicate keys, several documents, keys that are empty or no text of one line, more than
 * CONFIG_DEPTH_MAX levels or CONFIG_NODES_MAX values, control characters and NULs (escaped ones
 * too), text that isn't UTF-8. libyaml's event API (yaml.h) underneath. Columns count characters.
 * The values' readings are in config_value.c. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEPTH_MAX 16
#define CONFIG_NODES_MAX 20000

enum config_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

/* Read it; config_free() of the root frees all. */
struct config {
	enum config_kind kind;
	char *key;             /* its name when it stands in a map, else NULL */
	char *text;            /* a scalar's text, never NULL for a scalar */
	bool quoted;           /* a scalar that was quoted or a block: "8" is not the number 8 */
	unsigned line, column; /* of the value, from 1 */
	unsigned key_line, key_column; /* of its name; 0 without one */
	struct config *first;          /* of a list's or map's members */
	struct config *next;           /* behind this one among its siblings */
	size_t count;                  /* members */
};

/* `name` is what messages call the file. An empty file is an empty map. The caller bounds `length`;
 * NULL bytes of length 0 are fine. */
int config_parse(const char *name, const void *bytes, size_t length, struct config **out,
		 struct error *err);

/* The same for a file that the box's owner wrote, at most 1 MiB (-EFBIG). Links are followed. */
int config_read(const char *path, struct config **out, struct error *err);

void config_free(struct config *c);
OWNED(config)

/* The member `key` of a map, or NULL, also when `map` is no map. */
const struct config *config_get(const struct config *map, const char *key);

/* -EINVAL and "NAME:LINE:COLUMN: SENTENCE" for complaints about a value. */
int config_complain(const char *name, const struct config *c, struct error *err, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));

/* Refuses a `map` that is none, and every key of it that isn't in the NULL-terminated list, naming
 * the nearest known one. */
int config_check_keys(const char *name, const struct config *map, const char *const *known,
		      struct error *err);

/* Typed readings; each complains with place and what was expected. Any text that isn't left out is
 * a string; everything else must be unquoted. */
int config_as_string(const char *name, const struct config *c, const char **out, struct error *err);
int config_as_bool(const char *name, const struct config *c, bool *out, struct error *err);
int config_as_count(const char *name, const struct config *c, uint64_t min, uint64_t max,
		    uint64_t *out, struct error *err);
int config_as_size(const char *name, const struct config *c, uint64_t *out, struct error *err);
int config_as_time(const char *name, const struct config *c, uint64_t *out_ms, struct error *err);
int config_as_milli(const char *name, const struct config *c, uint64_t *out, struct error *err);
