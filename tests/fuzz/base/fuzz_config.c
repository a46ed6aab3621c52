/* fuzz_config.c - whatever the bytes are: a tree within its bounds, or a complaint with a place. */
#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static size_t count(const struct config *c, unsigned depth)
{
	size_t values = 1, members = 0;

	require(depth <= CONFIG_DEPTH_MAX && c->line > 0 && c->column > 0);
	require((c->kind == CONFIG_SCALAR) == (c->text != NULL));
	for (const struct config *m = c->first; m; m = m->next) {
		require((m->key != NULL) == (c->kind == CONFIG_MAP));
		require(!m->key || config_get(c, m->key) == m); /* no name stands twice */
		values += count(m, depth + 1);
		members++;
	}
	require(members == c->count);
	return values;
}

static void read_all(const struct config *c)
{
	static const char *const known[] = {"jobs", "run", "timeout", NULL};
	struct error e = {0};
	const char *text;
	uint64_t n;
	bool flag;

	(void)config_check_keys("f", c, known, &e);
	(void)config_as_string("f", c, &text, &e);
	(void)config_as_bool("f", c, &flag, &e);
	(void)config_as_count("f", c, 1, 100, &n, &e);
	(void)config_as_size("f", c, &n, &e);
	(void)config_as_time("f", c, &n, &e);
	(void)config_as_milli("f", c, &n, &e);
	for (const struct config *m = c->first; m; m = m->next)
		read_all(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	owned(config) *root = NULL;
	struct error e = {0};
	unsigned line, column;

	if (config_parse("f", bytes, length, &root, &e) < 0) {
		require(!root && sscanf(e.text, "f:%u:%u: ", &line, &column) == 2);
		return 0;
	}
	require(e.code == 0 && count(root, 1) <= CONFIG_NODES_MAX);
	read_all(root);
	return 0;
}
