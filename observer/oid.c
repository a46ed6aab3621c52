#include "observer/oid.h"

#include <string.h>

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool oid_parse(const char *hex, struct oid *out)
{
	for (int i = 0; i < OID_SIZE; i++) {
		int high = digit(hex[2 * i]);
		int low = high < 0 ? -1 : digit(hex[2 * i + 1]);

		if (low < 0)
			return false;
		out->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void oid_format(const struct oid *id, char out[OID_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < OID_SIZE; i++) {
		out[2 * i] = digits[id->bytes[i] >> 4];
		out[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	out[OID_HEX] = '\0';
}

bool oid_is_none(const struct oid *id)
{
	static const struct oid none;

	return oid_equal(id, &none);
}

bool oid_equal(const struct oid *a, const struct oid *b)
{
	return memcmp(a->bytes, b->bytes, OID_SIZE) == 0;
}
