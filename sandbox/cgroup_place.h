/* cgroup_place.h - where on this host the caller may make control groups, found once per process.
 *
 * v1: below the caller's own group of each hierarchy. v2: below his own group, too, when that is
 * the root or he is alone there: then he is moved to a child of it (the kernel lets no other group
 * have both processes and children with controllers). Else beside it, when its parent is delegated
 * to him. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum controller {
	CONTROLLER_MEMORY = 1,
	CONTROLLER_PIDS = 2,
	CONTROLLER_CPU = 4,
	CONTROLLER_CPUACCT = 8,
	CONTROLLER_FREEZER = 16,
	CONTROLLER_IO = 32, /* v1: blkio */
	CONTROLLER_CPUSET = 64,
};

#define PLACES_MAX 12

struct place {
	bool v2;
	bool nsdelegate; /* a namespace of a group's own can't change the limits of that group */
	/* That children can have. v2 passes down all of them but the cpuset: each group of that
	 * costs every job, so it comes with the first that asks. */
	unsigned controllers;
	int dir;   /* -1: not writable; lives as long as the process */
	int error; /* errno, why it isn't */
	char path[PATH_MAX];
};

struct places {
	struct place place[PLACES_MAX];
	size_t count;
	int error;    /* errno, why none were found; 0: none are mounted */
	bool foreign; /* some are of a namespace that this process has left */
};

const struct places *places_get(void);

/* Pure: reads `mountinfo` and `cgroup` (the files of /proc/self) into places with their paths. */
void places_parse(const char *mountinfo, const char *cgroup, struct places *out);

/* Pure: why no group with these controllers can be made, and what to do, as root or not. */
void places_remedy(const struct places *places, unsigned controllers, bool root, char *out,
		   size_t size);

/* CONTROLLER_* of a list separated by `,` or blanks. */
unsigned places_controllers(const char *list);

/* "cpuset"; static. */
const char *places_controller_name(unsigned controller);
