/* options.h - what the box's owner asked of the observer: command line over observer.yml. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLL_MS_DEFAULT  30000
#define POLL_MS_MIN      100
#define GLOBS_MAX        64
#define REPOSITORIES_MAX 10000

struct watched {
	char *name;       /* NULL: made from the location */
	char *place;      /* a path or a URL, as it was written */
	char **refs;      /* globs, NULL-terminated; NULL: branches and tags */
	uint64_t poll_ms; /* 0: as all */
};

/* `= {0}` asks for nothing. */
struct options {
	char *state, *dispatcher, *token, *name;
	uint64_t poll_ms; /* 0: not said */
	bool build_head;
	struct watched *repositories;
	size_t count;
};

void options_done(struct options *o);
#define owned_options __attribute__((cleanup(options_done))) struct options

/* Reads observer.yml. Pure; complaints name the line and the column. */
int options_parse(const char *name, const void *bytes, size_t length, struct options *out,
		  struct error *err);
/* The same for a file. -ENOENT: there is none. */
int options_read(const char *path, struct options *out, struct error *err);

/* PATH, URL, or NAME=PATH. */
int options_add_repository(struct options *o, const char *text, struct error *err);
int options_set_poll(struct options *o, const char *text, struct error *err);

/* What `o` doesn't say is taken from `fallback`. Repositories of one are not mixed with the
 * other's. */
void options_merge(struct options *o, struct options *fallback);
