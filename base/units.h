/* units.h - sizes as 512M, times as 90s: what people write, and how we write it back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes: digits and one of nothing, K, M, G, T (powers of 1024; a trailing "iB" or "B" is fine).
 * -EINVAL when it isn't that, -ERANGE when it doesn't fit. */
int units_parse_size(const char *text, uint64_t *out);

/* Milliseconds: digits (a fraction is fine) and ms, s (also nothing), m, h, d; parts may follow
 * one another, as in 1h30m. Errors as above. */
int units_parse_time(const char *text, uint64_t *out);

/* Thousandths: 1.5 is 1500. For processors. Errors as above. */
int units_parse_milli(const char *text, uint64_t *out);

/* The shortest exact or three-digit form: "512M", "1.50G"; "90s", "1h30m", "250ms". */
void units_format_size(uint64_t bytes, char *out, size_t size);
void units_format_time(uint64_t ms, char *out, size_t size);
