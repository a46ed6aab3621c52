/* fuzz_cursor.c - whatever the bytes are: a cursor that is written back as it was read, or a
 * complaint. */
#include "base/owned.h"
#include "observer/cursor.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	owned_cursor first = {0}, second = {0};
	owned_buffer text = {0}, again = {0};
	struct error err = {0};

	if (cursor_parse(bytes, length, &first, &err) < 0) {
		require(err.text[0] && !first.repository);
		return 0;
	}
	require(cursor_format(&first, &text) == 0);
	require(cursor_parse(text.data, text.length, &second, &err) == 0);
	require(cursor_format(&second, &again) == 0);
	require(text.length == again.length && memcmp(text.data, again.data, text.length) == 0);
	require(refs_sort(&second.refs) == 0);
	return 0;
}
