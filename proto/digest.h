/* digest.h - the SHA-256 of a stream: what a Result says of its log, and what the dispatcher
 * checks. */
#pragma once

#include "base/owned.h"

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32 /* bytes */

struct digest;

struct digest *digest_new(void); /* NULL: no memory */
void digest_free(struct digest *d);
OWNED(digest)

int digest_add(struct digest *d, const void *bytes, size_t length);

/* The digest of what was added so far; more may be added afterwards. */
int digest_get(const struct digest *d, uint8_t out[DIGEST_SIZE]);
