#include "proto/digest.h"

#include <errno.h>
#include <openssl/evp.h>

struct digest {
	EVP_MD_CTX *context;
};

struct digest *digest_new(void)
{
	owned(digest) *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->context = EVP_MD_CTX_new();
	if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1)
		return NULL;
	return give(d);
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	free(d);
}

int digest_add(struct digest *d, const void *bytes, size_t length)
{
	return EVP_DigestUpdate(d->context, bytes, length) == 1 ? 0 : -ENOMEM;
}

int digest_get(const struct digest *d, uint8_t out[DIGEST_SIZE])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new(); /* finishing uses a context up */
	int rc = copy && EVP_MD_CTX_copy_ex(copy, d->context) == 1 &&
				 EVP_DigestFinal_ex(copy, out, NULL) == 1
			 ? 0
			 : -ENOMEM;

	EVP_MD_CTX_free(copy);
	return rc;
}
