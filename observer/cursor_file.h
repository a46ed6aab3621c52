/* cursor_file.h - a cursor on disk: one file per repository, replaced as a whole. */
#pragma once

#include "observer/cursor.h"

#include <stddef.h>

/* The file's name: what people recognise of the repository, and a digest of all of it. */
int cursor_file_name(const char *repository, char *out, size_t size);

/* 1: read; 0: there is none; -EPROTO, -EBADMSG and others with the remedy. `dir` is the directory.
 */
int cursor_file_load(int dir, const char *repository, struct cursor *out, struct error *err);
/* On disk when it returns 0; the old one is there as long as it isn't. */
int cursor_file_save(int dir, const struct cursor *c, struct error *err);
