/* fuzz_units.c - what parses is a number, and what is written exactly reads back as it was. */
#include "base/units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool parses(int (*parse)(const char *, uint64_t *), const char *text, uint64_t *n)
{
	int rc = parse(text, n);

	require(rc == 0 || rc == -EINVAL || rc == -ERANGE);
	return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text =
		strndup((const char *)bytes, length); /* on the heap: reading on is found out */
	char written[24];
	uint64_t n, again;

	if (!text)
		abort();
	(void)parses(units_parse_milli, text, &n);
	if (parses(units_parse_size, text, &n)) {
		units_format_size(n, written, sizeof(written));
		require(strchr(written, '.') || !parses(units_parse_size, written, &again) ||
			again == n || n >= 100 << 10);
	}
	if (parses(units_parse_time, text, &n)) {
		units_format_time(n, written, sizeof(written));
		require(parses(units_parse_time, written, &again));
		require(n % 1000 || n < 1000 || again == n);
	}
	free(text);
	return 0;
}
