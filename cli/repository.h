/* repository.h - what is meant by REPO on the command line. Reads names and a few small files,
 * never what is in them. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

struct repository {
	char place[PATH_MAX]; /* an absolute path, or a URL */
	char name[256];       /* for people: the last part, without .git */
	char ref[1024];       /* what HEAD points to; "" when that can't be told */
};

/* Pure. ssh://host/x, https://..., user@host:x. */
bool repository_is_url(const char *text);

/* A path, a URL, or NULL for the repository around the current directory. -ENOENT: it isn't one;
 * -EACCES: this user can't tell. */
int repository_find(const char *text, struct repository *out, struct error *err);
