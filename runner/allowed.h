/* allowed.h - which repositories the owner of the box lets this runner take (`repositories:` of
 * runner.yml): whoever may submit names any path, and the runner's user may be able to read it. */
#pragma once

#include "base/error.h"

#include <limits.h>

#define ALLOWED_MAX 256

/* An entry: an absolute path, or the start of a URL. -EINVAL. */
int allowed_entry(const char *text, struct error *err);

/* Is the repository at this absolute path one of `list` (ends with NULL), or below one? Links are
 * followed first, of both: `real` is the path without them. -EPERM: it isn't; -ENOENT, -EACCES: it
 * would be, and isn't there or can't be reached. */
int allowed_path(const char *const *list, const char *path, char real[PATH_MAX], struct error *err);

/* The same of a URL, letter by letter. */
int allowed_url(const char *const *list, const char *url, struct error *err);
