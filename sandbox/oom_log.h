/* oom_log.h - whom the kernel killed for memory, as far as its log may be read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct oom_kill {
	char victim[64]; /* "cc1 (pid 4711)" */
	bool own_limit;  /* the group's; false: one above it had no more, or the host */
};

/* Looks through the kernel's log for the last kill in a group whose path ends in `/name`, since
 * then (clock_boot_ms(), as exact as the log's own clock). False: the log may not be read, or
 * doesn't say: the kernel tells of ten kills in five seconds. */
bool oom_log_find(const char *name, int64_t since, struct oom_kill *out);

/* Pure: the same for one line of it. */
bool oom_log_parse(const char *line, const char *name, struct oom_kill *out);
