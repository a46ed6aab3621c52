/* cgroup_text.h - what the kernel's control files say, where it is more than a number. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A second, on one disk; 0: no limit. */
struct io_rates {
	uint64_t read, write;         /* bytes */
	uint64_t read_ops, write_ops; /* requests */
};

/* The line for v2's io.max, and whether the file, read back, says the same of that disk. */
void cgroup_text_rates(dev_t disk, const struct io_rates *rates, char *out, size_t size);
bool cgroup_text_has_rates(const char *text, dev_t disk, const struct io_rates *rates);

/* The disk of the line at *at, which moves behind it; false: no further line names one. */
bool cgroup_text_next_disk(const char **at, dev_t *out);

/* What v1's throttle files, lines of "MAJ:MIN NUMBER", say of a disk; 0: nothing. */
uint64_t cgroup_text_of_disk(const char *text, dev_t disk);

/* What v2's io.stat says was read and written, once: of the disks that pass it on to others, and of
 * those others, which the kernel doesn't always charge, whichever tell of more. */
void cgroup_text_io(const char *text, bool (*passes_on)(dev_t disk), uint64_t *read,
		    uint64_t *written);

/* What v1's blkio.throttle.io_service_bytes says was read; false: it says nothing. */
bool cgroup_text_service(const char *text, uint64_t *read);

/* Microseconds in which some waited, of a pressure file. */
bool cgroup_text_pressure(const char *text, uint64_t *us);

/* "100" of "default 100\n" or of "100\n"; 0: neither. */
uint64_t cgroup_text_weight(const char *text);

/* -EINVAL; "max" is UINT64_MAX. */
int cgroup_text_number(const char *text, uint64_t *out);

/* The number behind `key` in lines of "KEY NUMBER"; -ENOENT. */
int cgroup_text_key(const char *text, const char *key, uint64_t *out);
