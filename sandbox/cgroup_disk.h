/* cgroup_disk.h - the disks that a job's writable places are on, as limits of io need them. */
#pragma once

#include "base/error.h"
#include "sandbox/plan.h"
#include "sandbox/spec.h"

struct disk {
	dev_t device; /* the whole disk, also where a partition is mounted */
	bool charges; /* its file system charges what is written back to who wrote it */
};

struct disks {
	struct disk disk[SPEC_BINDS_MAX + 1];
	size_t count;
};

/* -EOPNOTSUPP and a sentence: there is none, or one that can't be named. */
int disks_find(const struct plan *plan, struct disks *out, struct error *err);

/* Who shares the disk out by weight, which not every disk has. */
enum disk_weigher { DISK_NOT_WEIGHED, DISK_WEIGHED_BY_BFQ, DISK_WEIGHED_BY_COST };

/* `group` is a directory of the v2 tree or -1: the second kind is set in its root. */
enum disk_weigher disk_weigher(dev_t disk, int group);

/* "vda", or "254:0". */
void disk_name(dev_t disk, char *out, size_t size);

/* For one that stands on other disks: what it is asked for, they are asked for again. */
bool disk_passes_on(dev_t disk);

/* Pure: has `text`, an io.cost.qos, the disk on? */
bool disk_cost_is_on(const char *text, dev_t disk);
