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

/* The number behind `key` in a file of lines "KEY NUMBER"; -ENOENT. */
int cgroup_read_key(int dir, const char *file, const char *key, uint64_t *out);

/* Several of them, read at once; -ENOENT when one isn't there. */
int cgroup_read_keys(int dir, const char *file, const char *const *keys, uint64_t *out,
		     size_t count);
