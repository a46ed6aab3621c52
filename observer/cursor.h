/* cursor.h - what has been seen of one repository, as a text that survives restarts. Pure.
 *
 *     cupel-cursor 1
 *     repository /srv/git/app.git
 *     ref 83baae61804e65cc73a7201a7252750c76066a30 refs/heads/main
 *     seen 1f7a7a472abf3dd9643fd615f6da379c4acb3e3a
 *     end 1 1
 *
 * Everything that can be reached from an id in it has been acknowledged by the dispatcher, or was
 * there before the repository was watched. `seen` ids are what deleted and force-pushed refs
 * pointed at: they keep a branch that is renamed, or deleted and made again, from looking like
 * news. The last line counts both kinds, so that a text that was cut is noticed. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "observer/refs.h"

/* The oldest go first. Each costs one more lookup per push, hence not more. */
#define CURSOR_SEEN_MAX 1024

/* `= {0}` is an empty one. */
struct cursor {
	char *repository; /* path or URL: two names never share a cursor by accident */
	struct refs refs;
	struct oid *seen; /* the oldest first */
	size_t seen_count;
};

void cursor_done(struct cursor *c);
#define owned_cursor __attribute__((cleanup(cursor_done))) struct cursor

/* -EBADMSG and line and complaint; -EPROTO: written by a newer version. */
int cursor_parse(const void *bytes, size_t length, struct cursor *out, struct error *err);
int cursor_format(const struct cursor *c, struct buffer *out);

/* Remembers what a ref pointed at; an id that is there already becomes the newest. */
int cursor_see(struct cursor *c, const struct oid *id);
