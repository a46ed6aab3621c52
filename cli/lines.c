#include "cli/lines.h"

#include "base/owned.h"
#include "cli/json.h"
#include "cli/utf8.h"

#include <errno.h>
#include <string.h>

void lines_done(struct lines *l)
{
	buffer_done(&l->line);
}

/* The first `length` bytes of what is pending. */
static int put(struct lines *l, size_t length, struct buffer *out)
{
	const struct json_log piece = {l->job, l->attempt, l->offset, l->line.data, length};
	owned_str *json = json_of_log(&piece);

	if (!json)
		return -ENOMEM;
	l->offset += length;
	buffer_consume(&l->line, length);
	return buffer_printf(out, "%s\n", json);
}

/* As much of a long line as ends with a whole character. */
static size_t whole(const struct buffer *line)
{
	uint32_t c;

	for (size_t back = 1; back < 4; back++)
		if (utf8_next((const uint8_t *)line->data + line->length - back, back, &c) == 0)
			return line->length - back;
	return line->length;
}

int lines_feed(struct lines *l, const void *bytes, size_t length, struct buffer *out)
{
	const char *at = bytes, *end = at + length;
	int rc = 0;

	while (at < end && rc == 0) {
		size_t room = LINES_BYTES_MAX - l->line.length;
		size_t take = (size_t)(end - at) < room ? (size_t)(end - at) : room;
		const char *newline = memchr(at, '\n', take);

		if (newline)
			take = (size_t)(newline + 1 - at);
		rc = buffer_append(&l->line, at, take);
		at += take;
		if (rc == 0 && newline)
			rc = put(l, l->line.length, out);
		else if (rc == 0 && l->line.length == LINES_BYTES_MAX)
			rc = put(l, whole(&l->line), out);
	}
	return rc;
}

int lines_end(struct lines *l, struct buffer *out)
{
	return l->line.length ? put(l, l->line.length, out) : 0;
}
