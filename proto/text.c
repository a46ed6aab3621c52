#include "proto/text.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character at `at`, 0 when it isn't one; `out` gets its number. */
static size_t character(const char *at, uint32_t *out)
{
	const unsigned char *c = (const unsigned char *)at;
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = c[0] < 0x80             ? 1
			: (c[0] & 0xe0) == 0xc0 ? 2
			: (c[0] & 0xf0) == 0xe0 ? 3
			: (c[0] & 0xf8) == 0xf0 ? 4
						: 0;
	uint32_t value = length == 1 ? c[0] : c[0] & (0x7fu >> length);

	for (size_t i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80) /* the terminator too */
			return 0;
		value = value << 6 | (c[i] & 0x3f);
	}
	if (!length || value < smallest[length] || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*out = value;
	return length;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

bool text_is_utf8(const char *text)
{
	uint32_t c;

	while (*text) {
		size_t length = character(text, &c);

		if (!length)
			return false;
		text += length;
	}
	return true;
}

bool text_is_plain(const char *text)
{
	uint32_t c;

	while (*text) {
		size_t length = character(text, &c);

		if (!length || is_control(c))
			return false;
		text += length;
	}
	return true;
}

void text_mend(char *text, size_t max)
{
	const char *from = text;
	char *to = text;
	uint32_t c;

	while (*from) {
		size_t length = character(from, &c), size = length ? length : 1;
		bool plain = length && !is_control(c);

		if ((size_t)(to - text) + (plain ? size : 1) > max)
			break;
		if (plain) {
			memmove(to, from, size);
			to += size;
		} else {
			*to++ = length ? ' ' : '?';
		}
		from += size;
	}
	*to = '\0';
}
