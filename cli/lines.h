/* lines.h - a log as JSON: one object for each of its lines, whatever the pieces that it comes in.
 * Pure. */
#pragma once

#include "base/buffer.h"

#include <stddef.h>
#include <stdint.h>

#define LINES_BYTES_MAX 65536 /* a longer line becomes several objects, between two characters */

/* Zero is a good start; `job` is borrowed. */
struct lines {
	const char *job;
	uint32_t attempt;
	uint64_t offset;    /* of what is pending */
	struct buffer line; /* pending: its end hasn't come yet */
};

void lines_done(struct lines *l);

/* Appends the objects of what is whole now to `out`. -ENOMEM. */
int lines_feed(struct lines *l, const void *bytes, size_t length, struct buffer *out);
/* The last line, if it has no end. */
int lines_end(struct lines *l, struct buffer *out);
