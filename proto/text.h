/* text.h - what strangers' strings may hold. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool text_is_utf8(const char *text);

/* No control characters: C0, DEL, and the C1 that some terminals obey. Of text that is UTF-8. */
bool text_is_plain(const char *text);

/* Makes text one plain line of UTF-8 of at most `max` bytes, in place: what doesn't belong becomes
 * a '?' or a space, what is too much is cut at a character's end. For senders too: a subject from a
 * commit in Latin-1 goes through here before it goes into a message. */
void text_mend(char *text, size_t max);
