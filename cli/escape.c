#include "cli/escape.h"

#include "cli/utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are no UTF-8 */
#define ESC         0x1b
#define BEL         0x07

int escape_text(struct buffer *out, const char *text)
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t length = strlen(text);
	int rc = buffer_append(out, "", 0); /* so that `data` is a string */

	for (size_t at = 0; at < length && rc == 0;) {
		uint32_t c = 0;
		int n = utf8_next(bytes + at, length - at, &c);

		if (n <= 0 || c < 0xa0) {
			bool plain = n == 1 && c >= 0x20 && c < 0x7f;

			n = n > 0 ? n : 1;
			for (int i = 0; i < n && rc == 0; i++)
				rc = buffer_printf(out, plain ? "%c" : "\\x%02x",
						   bytes[at + (size_t)i]);
		} else if (utf8_is_control(c)) {
			rc = buffer_printf(out, "\\u%04x", c);
		} else {
			rc = buffer_append(out, bytes + at, (size_t)n);
		}
		at += (size_t)n;
	}
	return rc;
}

char *escape_new(const char *text)
{
	owned_buffer b = {0};

	if (escape_text(&b, text) < 0)
		return NULL;
	return buffer_take(&b);
}

/* --- a log on a terminal ------------------------------------------------ */

static void hold(struct filter *f, uint8_t byte)
{
	if (f->held_count == sizeof(f->held)) {
		f->too_long = true;
		return;
	}
	f->held[f->held_count++] = byte;
}

static void enter(struct filter *f, enum filter_state state)
{
	f->state = state;
	f->held_count = 0;
	f->too_long = false;
}

/* Bytes of a character that isn't whole: each that can't be part of one becomes U+FFFD. */
static int text_byte(struct filter *f, uint8_t byte, struct buffer *out)
{
	int rc = 0;

	hold(f, byte);
	while (f->held_count && rc == 0) {
		uint32_t c = 0;
		int n = utf8_next(f->held, f->held_count, &c);

		if (n == 0)
			return 0;
		if (n < 0)
			rc = buffer_append(out, REPLACEMENT, 3);
		else if (!utf8_is_control(c) || c == '\n' || c == '\t' || c == '\r')
			rc = buffer_append(out, f->held, (size_t)n);
		n = n < 0 ? 1 : n;
		f->held_count -= (size_t)n;
		memmove(f->held, f->held + n, f->held_count);
	}
	return rc;
}

/* What is held in the middle of a character when something else begins. */
static int text_break(struct filter *f, struct buffer *out)
{
	int rc = 0;

	for (; f->held_count && rc == 0; f->held_count--)
		rc = buffer_append(out, REPLACEMENT, 3);
	return rc;
}

/* ESC [ 1 ; 31 m is a colour; ESC [ > 4 m and the like are settings of the terminal. */
static bool is_colour(const struct filter *f)
{
	for (size_t i = 0; i < f->held_count; i++)
		if (!strchr("0123456789;:", f->held[i]))
			return false;
	return !f->too_long;
}

static int csi_end(struct filter *f, uint8_t final, struct buffer *out)
{
	int rc = 0;

	if (final == 'm' && is_colour(f)) {
		rc = buffer_printf(out, "\033[%.*sm", (int)f->held_count, (const char *)f->held);
		f->coloured = true;
	}
	enter(f, FILTER_TEXT);
	return rc;
}

static int feed_byte(struct filter *f, uint8_t byte, struct buffer *out);

/* A byte that can't stand in a sequence ends it, and is text. */
static int abandon(struct filter *f, uint8_t byte, struct buffer *out)
{
	enter(f, FILTER_TEXT);
	return feed_byte(f, byte, out);
}

static int escape_byte(struct filter *f, uint8_t byte, struct buffer *out)
{
	if (byte < 0x20 || byte >= 0x7f)
		return abandon(f, byte, out);
	if (byte < 0x30)
		enter(f, FILTER_ESCAPE_MORE);
	else if (f->state == FILTER_ESCAPE && byte == '[')
		enter(f, FILTER_CSI);
	else if (f->state == FILTER_ESCAPE && strchr("]PX^_", byte))
		enter(f, FILTER_STRING);
	else
		enter(f, FILTER_TEXT);
	return 0;
}

static int csi_byte(struct filter *f, uint8_t byte, struct buffer *out)
{
	if (byte < 0x20 || byte >= 0x7f)
		return abandon(f, byte, out);
	if (byte >= 0x40)
		return csi_end(f, byte, out);
	hold(f, byte);
	return 0;
}

static int string_byte(struct filter *f, uint8_t byte, struct buffer *out)
{
	if (f->state == FILTER_STRING_ESCAPE) {
		enter(f, byte == '\\' ? FILTER_TEXT : FILTER_ESCAPE);
		return byte == '\\' ? 0 : feed_byte(f, byte, out);
	}
	if (byte == '\n') /* an unfinished one must not hide the rest of the log */
		return abandon(f, byte, out);
	if (byte == BEL)
		enter(f, FILTER_TEXT);
	else if (byte == ESC)
		enter(f, FILTER_STRING_ESCAPE);
	return 0;
}

static int feed_byte(struct filter *f, uint8_t byte, struct buffer *out)
{
	int rc;

	switch (f->state) {
	case FILTER_TEXT:
		if (byte != ESC)
			return text_byte(f, byte, out);
		rc = text_break(f, out);
		enter(f, FILTER_ESCAPE);
		return rc;
	case FILTER_ESCAPE:
	case FILTER_ESCAPE_MORE:
		if (byte != ESC)
			return escape_byte(f, byte, out);
		enter(f, FILTER_ESCAPE);
		return 0;
	case FILTER_CSI:
		if (byte != ESC)
			return csi_byte(f, byte, out);
		enter(f, FILTER_ESCAPE);
		return 0;
	case FILTER_STRING:
	case FILTER_STRING_ESCAPE:
		return string_byte(f, byte, out);
	}
	return 0;
}

/* The bytes at the start that are plain ASCII text: most of a log. */
static size_t plain_run(const uint8_t *bytes, size_t length)
{
	size_t n = 0;

	while (n < length &&
	       ((bytes[n] >= 0x20 && bytes[n] < 0x7f) || bytes[n] == '\n' || bytes[n] == '\t'))
		n++;
	return n;
}

int filter_feed(struct filter *f, const uint8_t *bytes, size_t length, struct buffer *out)
{
	int rc = 0;

	for (size_t at = 0; at < length && rc == 0;) {
		size_t plain = 0;

		if (f->state == FILTER_TEXT && f->held_count == 0)
			plain = plain_run(bytes + at, length - at);
		rc = plain ? buffer_append(out, bytes + at, plain) : feed_byte(f, bytes[at], out);
		at += plain ? plain : 1;
	}
	return rc;
}

int filter_end(struct filter *f, struct buffer *out)
{
	int rc = f->state == FILTER_TEXT ? text_break(f, out) : 0;

	if (rc == 0 && f->coloured)
		rc = buffer_append(out, "\033[0m", 4);
	*f = (struct filter){0};
	return rc;
}
