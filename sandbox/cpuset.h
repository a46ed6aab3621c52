/* cpuset.h - a list of processors as people and the kernel write it: "0-1,3". Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CPUSET_PROCESSORS 8192 /* the most that any kernel is built for */

struct cpuset {
	uint64_t word[CPUSET_PROCESSORS / 64];
};

/* -EINVAL: not a list of numbers and ranges; -ERANGE: a processor past the most. The kernel's
 * newline at the end is fine. */
int cpuset_parse(const char *list, struct cpuset *out);

/* The same processors, however they are written? */
bool cpuset_same(const char *a, const char *b);
