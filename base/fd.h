/* fd.h - whole reads, whole writes, and files that are either the old one or the new one. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* All `length` bytes, whatever signals and short writes come between. */
int fd_write_all(int fd, const void *bytes, size_t length);

/* The bytes read, fewer than `length` only at end of file; -errno. */
ssize_t fd_read_all(int fd, void *bytes, size_t length);

/* The whole file `name` in directory `dir` appended to `out`; a link is not followed.
 * -EFBIG when it holds more than `max` bytes, -EINVAL when it isn't a regular file, -ELOOP when it
 * is a link; `out` then holds what it held before. */
int fd_read_file(int dir, const char *name, size_t max, struct buffer *out);

/* Replaces `name` in `dir` so that a crash at any moment leaves the old or the new content:
 * temporary file .NAME.new, fsync, rename, fsync of the directory. `dir` is open for reading,
 * `name` has no slash; one writer at a time. The new file has `mode`, less the umask. */
int fd_replace_file(int dir, const char *name, const void *bytes, size_t length, mode_t mode);

/* Makes every directory of `path` that is missing with `mode` (the last one), 0755 (those above),
 * and opens it. Links are followed: it is for the box's owner's paths. The descriptor, or -errno.
 */
int fd_make_path(const char *path, mode_t mode, struct error *err);

/* An exclusive lock on file `name` in `dir`, made when missing; held as long as the returned
 * descriptor is open here or in a child that inherited it (a dead process holds nothing).
 * -EWOULDBLOCK: another one holds it. */
int fd_lock(int dir, const char *name);

int fd_set_nonblocking(int fd);
