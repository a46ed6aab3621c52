#include "cli/utf8.h"

#include <string.h>
#include <wchar.h>

/* What a first byte says: how many bytes, which of its bits count, the least character of that
 * length. */
static int lead(uint8_t byte, uint32_t *bits, uint32_t *least)
{
	if (byte < 0x80) {
		*bits = byte;
		*least = 0;
		return 1;
	}
	if (byte >= 0xc2 && byte < 0xe0) {
		*bits = byte & 0x1f;
		*least = 0x80;
		return 2;
	}
	if (byte >= 0xe0 && byte < 0xf0) {
		*bits = byte & 0x0f;
		*least = 0x800;
		return 3;
	}
	if (byte >= 0xf0 && byte < 0xf5) {
		*bits = byte & 0x07;
		*least = 0x10000;
		return 4;
	}
	return -1;
}

int utf8_next(const uint8_t *bytes, size_t length, uint32_t *out)
{
	uint32_t c, least;
	int need;

	if (length == 0)
		return 0;
	need = lead(bytes[0], &c, &least);
	for (int i = 1; i < need; i++) {
		if ((size_t)i == length)
			return 0;
		if ((bytes[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (bytes[i] & 0x3f);
		/* Decided at the second byte already, so that a stream needn't wait for the rest.
		 */
		if (i == 1 && need == 3 && (c < 0x20 || (c >= 0x360 && c < 0x380)))
			return -1;
		if (i == 1 && need == 4 && (c < 0x10 || c >= 0x110))
			return -1;
	}
	if (need < 0 || c < least)
		return -1;
	*out = c;
	return need;
}

int utf8_is_control(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 1;
	return c == 0x061c || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

int utf8_columns(uint32_t c)
{
	int columns = wcwidth((wchar_t)c);

	return columns < 0 ? 1 : columns; /* without a locale that knows it */
}

size_t utf8_fit(const char *text, size_t columns)
{
	size_t length = strlen(text), at = 0, used = 0;

	while (at < length) {
		uint32_t c = 0;
		int n = utf8_next((const uint8_t *)text + at, length - at, &c);
		size_t wide = n > 0 ? (size_t)utf8_columns(c) : 1;

		if (used + wide > columns)
			break;
		used += wide;
		at += n > 0 ? (size_t)n : 1;
	}
	return at;
}

size_t utf8_width(const char *text)
{
	size_t length = strlen(text), width = 0;

	for (size_t at = 0; at < length;) {
		uint32_t c = 0;
		int n = utf8_next((const uint8_t *)text + at, length - at, &c);

		width += n > 0 ? (size_t)utf8_columns(c) : 1;
		at += n > 0 ? (size_t)n : 1;
	}
	return width;
}
