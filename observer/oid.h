/* oid.h - the name of a git object: a SHA-1, 20 bytes. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define OID_SIZE 20
#define OID_HEX  40

/* All zero: none. */
struct oid {
	uint8_t bytes[OID_SIZE];
};

/* The first OID_HEX characters of `hex`, which must be lower-case digits. */
bool oid_parse(const char *hex, struct oid *out);
void oid_format(const struct oid *id, char out[OID_HEX + 1]);

bool oid_is_none(const struct oid *id);
bool oid_equal(const struct oid *a, const struct oid *b);
