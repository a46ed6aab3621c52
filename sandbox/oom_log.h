/* oom_log.h - whom the kernel killed for memory, as far as its log may be read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Looks through the kernel's log for the last kill in a group whose path ends in `/name`.
 * "cc1 (pid 4711)"; false: the log may not be read, or doesn't say. */
bool oom_log_victim(const char *name, char *out, size_t size);

/* Pure: the same for one line of it. */
bool oom_log_parse(const char *line, const char *name, char *out, size_t size);
