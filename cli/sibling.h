/* sibling.h - the other programs of Cupel: beside this one, else on the PATH. */
#pragma once

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

/* -ENOENT and a sentence when it is nowhere. */
int sibling_find(const char *program, char out[PATH_MAX], struct error *err);

/* Becomes it: `first` (NULL: none) and then `argv` are its arguments. Returns only if that fails.
 */
int sibling_become(const char *program, const char *first, int argc, char *const *argv,
		   struct error *err);
