/* utf8.h - characters of a text that nobody vouches for. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The character at the start of `bytes`: its length, 1 to 4, and `out` filled; 0: it goes on behind
 * the end; -1: the first byte isn't the start of one (also: overlong forms, surrogates). */
int utf8_next(const uint8_t *bytes, size_t length, uint32_t *out);

/* Must it be kept from terminals? Controls, and characters that turn the direction of text. */
int utf8_is_control(uint32_t character);

/* Columns that it takes on a terminal: 0, 1 or 2. */
int utf8_columns(uint32_t character);

/* Columns of a whole text. */
size_t utf8_width(const char *text);

/* The bytes of as much of `text` as fits into `columns`. */
size_t utf8_fit(const char *text, size_t columns);
