/* fuzz_address.c - whatever the text is: an address that is written as it is read, or a complaint.
 */
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
	struct link_address first = {0}, second = {0};
	struct error err = {0};
	char again[300];

	if (!text)
		return 0;
	if (link_address_parse(text, &first, &err) < 0) {
		require(err.text[0] && !*first.host && !*first.path);
		return 0;
	}
	require(!*first.path != !*first.host);
	link_address_format(&first, again, sizeof(again));
	require(link_address_parse(again, &second, &err) == 0);
	require(strcmp(first.path, second.path) == 0 && strcmp(first.host, second.host) == 0 &&
		strcmp(first.port, second.port) == 0);
	return 0;
}
