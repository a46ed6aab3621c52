/* What the filter lets through is UTF-8 with line ends and colours, however the stream was cut;
 * what escape_text() lets through is one line of UTF-8 without any control. */
#include "cli/escape.h"

#include "base/owned.h"
#include "cli/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void filter(const uint8_t *data, size_t size, size_t piece, struct buffer *out)
{
	struct filter f = {0};

	for (size_t at = 0; at < size; at += piece)
		if (filter_feed(&f, data + at, size - at < piece ? size - at : piece, out) < 0)
			abort();
	if (filter_end(&f, out) < 0)
		abort();
}

/* The length of a colour sequence at the start, 0: it is none. */
static size_t colour(const uint8_t *bytes, size_t length)
{
	size_t n = 2;

	if (length < 3 || bytes[0] != 0x1b || bytes[1] != '[')
		return 0;
	while (n < length && bytes[n] && strchr("0123456789;:", bytes[n]))
		n++;
	return n < length && bytes[n] == 'm' ? n + 1 : 0;
}

static void check(const struct buffer *b, bool log)
{
	const uint8_t *bytes = (const uint8_t *)b->data;

	for (size_t at = 0; at < b->length;) {
		size_t sequence = log ? colour(bytes + at, b->length - at) : 0;
		uint32_t c = 0;
		int n = sequence ? (int)sequence : utf8_next(bytes + at, b->length - at, &c);

		if (n <= 0)
			abort();
		if (!sequence && utf8_is_control(c) &&
		    !(log && (c == '\n' || c == '\t' || c == '\r')))
			abort();
		at += (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_buffer whole = {0}, cut = {0}, line = {0};
	owned_str *text = strndup((const char *)data, size);

	if (!size || !text)
		return 0;
	filter(data, size, size, &whole);
	filter(data, size, 1 + data[0] % 7, &cut);
	if (whole.length != cut.length ||
	    (whole.length && memcmp(whole.data, cut.data, cut.length) != 0))
		abort();
	check(&whole, true);
	if (escape_text(&line, text) < 0)
		abort();
	check(&line, false);
	return 0;
}
