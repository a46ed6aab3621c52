/* escape.h - what strangers wrote, made harmless for terminals. Pure: bytes in, bytes out.
 *
 * Names, subjects, reasons come from repositories and jobs: they are one line, and nothing in them
 * may move a cursor, turn text round or forge a line. Logs are many lines and may have colours. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends `text` as valid UTF-8 on one line: controls and bytes that are no UTF-8 as \xNN,
 * characters that turn the direction of text as \uNNNN. */
int escape_text(struct buffer *out, const char *text);

/* The same as a new string; NULL: no memory. */
char *escape_new(const char *text);

/* --- a log on a terminal ------------------------------------------------ */

#define FILTER_HELD                                                                                \
	64 /* bytes of a sequence; a colour is much shorter, what is longer is dropped */

enum filter_state {
	FILTER_TEXT,
	FILTER_ESCAPE,      /* behind ESC */
	FILTER_ESCAPE_MORE, /* ESC and an intermediate byte */
	FILTER_CSI,         /* ESC [ ... */
	FILTER_STRING, /* titles, clipboards, device controls: until their end, or the line's */
	FILTER_STRING_ESCAPE,
};

/* `= {0}` starts one. */
struct filter {
	enum filter_state state;
	uint8_t held[FILTER_HELD]; /* of a character or sequence that isn't whole yet */
	size_t held_count;
	bool too_long; /* the sequence was: it is dropped */
	bool coloured; /* a colour may still be on */
};

/* Appends what of `bytes` may be shown: text as UTF-8, line ends, tabs, colours (SGR). All other
 * controls and escape sequences are dropped; how the stream is cut into pieces makes no difference.
 */
int filter_feed(struct filter *f, const uint8_t *bytes, size_t length, struct buffer *out);

/* The end of the stream: what was held back, and the colours reset. */
int filter_end(struct filter *f, struct buffer *out);
