/* buffer.h - bytes that grow, up to a bound that the owner sets. */
#pragma once

#include <stddef.h>

/* `= {0}` is an empty buffer that may grow to BUFFER_MAX_DEFAULT. `data` is NUL-terminated
 * whenever it isn't NULL; the terminator isn't counted. */
struct buffer {
	char *data;
	size_t length;
	size_t size;
	size_t max; /* bytes; 0: BUFFER_MAX_DEFAULT */
};

/* Nothing that one buffer holds in one piece is larger: a frame is 1 MiB, a job file less. */
#define BUFFER_MAX_DEFAULT ((size_t)64 << 20)

void buffer_done(struct buffer *b);
#define owned_buffer __attribute__((cleanup(buffer_done))) struct buffer

/* -ENOMEM, or -EFBIG past the bound; the buffer is then as it was. */
int buffer_append(struct buffer *b, const void *bytes, size_t length);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `more` bytes behind `length`. */
int buffer_reserve(struct buffer *b, size_t more);

/* Drops `length` bytes from the front. */
void buffer_consume(struct buffer *b, size_t length);

/* Empties it and keeps its memory. */
void buffer_clear(struct buffer *b);

/* The memory, owned by the caller now; the buffer is empty. NULL when nothing was ever put in. */
char *buffer_take(struct buffer *b);
