/* error.h - one failure, told in one sentence to whoever has to act on it. */
#pragma once

#include "base/error_value.h"

#include <errno.h>

/* Fills `err` (NULL is fine) with "SENTENCE: strerror(code)"; arguments may point into its text.
 * Returns -code, so that a function can end with `return error_set(err, errno, "open %s", path);`.
 */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without strerror(): for sentences that tell the cause and the remedy themselves. */
int error_say(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before what `err` says already. Returns -err->code, -EIO
 * when there is no `err` to ask. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
