/* units.h - sizes as 512M, times as 90s: what people write, and how we write it back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes: digits and one of nothing, K, M, G, T (powers of 1024; a trailing "iB" or "B" is fine).
 * -EINVAL when it isn't that, -ERANGE when it doesn't fit. */
int units_parse_size(const char *text, uint64_t *out);

/* Milliseconds: digits (a fraction is fine) and ms, s, m, h, d; parts may follow one another from
 * the largest to the smallest, as in 1h30m. A number without a unit is seconds and stands alone.
 * What isn't a whole number of milliseconds is -EINVAL, so that 0.0001s doesn't become none. */
int units_parse_time(const char *text, uint64_t *out);

/* Thousandths: 1.5 is 1500; 0.0005 is -EINVAL. For processors. Errors as above. */
int units_parse_milli(const char *text, uint64_t *out);

/* For people, exact or rounded to three digits, at most 24 bytes with the NUL: "512M", "1.50G",
 * "1023K"; "250ms", "1.50s", "90s", "1h30m"; from two minutes on, the milliseconds are left out. */
void units_format_size(uint64_t bytes, char *out, size_t size);
void units_format_time(uint64_t ms, char *out, size_t size);
