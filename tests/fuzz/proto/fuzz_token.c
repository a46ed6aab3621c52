/* fuzz_token.c - whatever the text is: a token that is written as it is read, or a complaint. */
#include "proto/link.h"

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
	owned_str *text = strndup((const char *)bytes, length);
	struct link_token first = {0}, second = {0};
	struct error err = {0};
	char again[1024];

	if (!text)
		return 0;
	if (link_token_parse(text, &first, &err) < 0) {
		require(err.text[0] && !*first.name);
		return 0;
	}
	require(link_token_format(&first, again, sizeof(again)) == 0);
	require(link_token_parse(again, &second, &err) == 0);
	require(memcmp(&first, &second, sizeof(first)) == 0);
	return 0;
}
