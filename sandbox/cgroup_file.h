/* cgroup_file.h - the small text files that control groups are made of. All take a directory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes read, terminated and cut to `size`; -errno. */
int cgroup_read_text(int dir, const char *file, char *out, size_t size);

/* 0 or -errno. */
int cgroup_write_text(int dir, const char *file, const char *text);
int cgroup_write_number(int dir, const char *file, uint64_t value);

/* -errno; "max" is UINT64_MAX. */
int cgroup_read_number(int dir, const char *file, uint64_t *out);

/* Writes, and reads by the same descriptor what the kernel made of it: as the reading ones. */
int cgroup_put_text(int dir, const char *file, const char *text, char *out, size_t size);

/* A limit, written as `none` when it is 0. */
int cgroup_put_limit(int dir, const char *file, uint64_t value, const char *none, uint64_t *out);
