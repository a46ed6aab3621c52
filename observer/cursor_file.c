#include "observer/cursor_file.h"

#include "base/fd.h"
#include "base/owned.h"
#include "proto/digest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define BYTES_MAX     BUFFER_MAX_DEFAULT
#define NAME_READABLE 40
#define NAME_DIGEST   8 /* bytes: two repositories of one observer don't meet by accident */

int cursor_file_name(const char *repository, char *out, size_t size)
{
	const char *slash = strrchr(repository, '/');
	const char *base = slash && slash[1] ? slash + 1 : repository;
	owned(digest) *d = digest_new();
	uint8_t sum[DIGEST_SIZE];
	size_t n = 0;

	if (!d || digest_add(d, repository, strlen(repository)) < 0 || digest_get(d, sum) < 0)
		return -ENOMEM;
	for (; *base && n < NAME_READABLE && n + 2 * NAME_DIGEST + 2 < size; base++)
		out[n++] = isalnum((unsigned char)*base) || *base == '-' ? *base : '_';
	out[n++] = '.';
	for (size_t i = 0; i < NAME_DIGEST && n + 3 <= size; i++, n += 2)
		(void)snprintf(out + n, 3, "%02x", sum[i]);
	return 0;
}

static int unusable(const char *name, int code, struct error *err)
{
	char sentence[300];

	(void)snprintf(sentence, sizeof(sentence), "%.299s", err->text);
	return error_say(
		err, code,
		"cursor %s: %s: %s it, or move it away to begin anew from what the repository holds",
		name, sentence, code == EPROTO ? "start the version that wrote" : "restore");
}

int cursor_file_load(int dir, const char *repository, struct cursor *out, struct error *err)
{
	owned_buffer bytes = {.max = BYTES_MAX};
	struct error why = {0};
	char name[100];
	int rc = cursor_file_name(repository, name, sizeof(name));

	if (rc == 0)
		rc = fd_read_file(dir, name, BYTES_MAX, &bytes);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return error_set(err, -rc, "read cursor %s", name);
	rc = cursor_parse(bytes.data, bytes.length, out, &why);
	if (rc == 0 && strcmp(out->repository, repository) != 0) {
		rc = error_say(&why, EBADMSG, "it is of repository %.200s", out->repository);
		cursor_done(out);
	}
	if (rc == 0)
		return 1;
	rc = unusable(name, why.code, &why);
	if (err)
		*err = why;
	return rc;
}

int cursor_file_save(int dir, const struct cursor *c, struct error *err)
{
	owned_buffer bytes = {.max = BYTES_MAX};
	char name[100];
	int rc = cursor_file_name(c->repository, name, sizeof(name));

	if (rc == 0)
		rc = cursor_format(c, &bytes);
	if (rc == 0)
		rc = fd_replace_file(dir, name, bytes.data, bytes.length, 0600);
	return rc < 0 ? error_set(err, -rc, "write cursor %s", name) : 0;
}
