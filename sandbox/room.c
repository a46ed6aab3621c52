#include "sandbox/room.h"

#include "base/units.h"
#include "sandbox/submounts.h"

#include <stdio.h>
#include <sys/statvfs.h>

/* Held by a file system that is no larger: a sized tmpfs, a loop image, an overlay whose upper
 * layer is on one, a project with a quota. */
static int check_one(const struct sandbox_limits *limits, const struct source *s, const char *what,
		     struct error *err)
{
	struct statvfs fs;
	uint64_t bytes;
	char size[24];

	if (fstatvfs(s->fd, &fs) < 0)
		return error_set(err, errno, "look at the file system of %s", what);
	bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (bytes > 0 && (!limits->disk || bytes <= limits->disk) &&
	    (!limits->inodes || (fs.f_files && fs.f_files <= limits->inodes)))
		return submounts_refuse(s, "disk", what, err);
	units_format_size(bytes, size, sizeof(size));
	return error_say(err, EOPNOTSUPP,
			 "the limit of disk can't be held: %s is on a file system of %s and %llu "
			 "files; put it on one no larger than the limit (a tmpfs with size= and "
			 "nr_inodes=, a loop image, a project with a quota), or run without it or "
			 "without that limit",
			 what, size, (unsigned long long)fs.f_files);
}

int room_check(const struct sandbox_limits *limits, struct plan *plan, struct error *err)
{
	bool limited = limits->disk || limits->inodes;
	char what[256];
	int rc = 0;

	if (limited && plan->worktree.fd >= 0)
		rc = check_one(limits, &plan->worktree, "the worktree", err);
	plan->bounded = limited && rc == 0 && plan->worktree.fd >= 0;
	for (size_t i = 0; limited && i < plan->bind_count && rc == 0; i++) {
		(void)snprintf(what, sizeof(what), "bind '%.200s'", plan->binds[i].path);
		if (plan->binds[i].writable)
			rc = check_one(limits, &plan->binds[i], what, err);
	}
	return rc;
}
