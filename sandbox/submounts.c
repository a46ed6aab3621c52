#include "sandbox/submounts.h"

#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MOUNTINFO_MAX (8 << 20)

bool submounts_in(const char *mountinfo, const char *path)
{
	size_t length = strlen(path);

	for (const char *line = mountinfo; line && *line;) {
		const char *end = strchr(line, '\n'), *at = line;

		for (int field = 0; at && field < 4; field++) { /* the fifth is the place */
			at = strchr(at, ' ');
			at = at ? at + 1 : NULL;
		}
		if (at && (!end || at < end) && strncmp(at, path, length) == 0 && at[length] == '/')
			return true;
		line = end ? end + 1 : NULL;
	}
	return false;
}

/* The kernel writes blanks and their like as octal numbers in its list of mounts. */
static void escape(const char *path, char *out, size_t size)
{
	size_t used = 0;

	for (; *path && used + 5 < size; path++) {
		if (strchr(" \t\n\\", *path))
			used += (size_t)snprintf(out + used, size - used, "\\%03o",
						 (unsigned char)*path);
		else
			out[used++] = *path;
	}
	out[used] = '\0';
}

int submounts_refuse(const struct source *s, const char *limit, const char *what, struct error *err)
{
	owned_buffer mountinfo = {0};
	char path[PATH_MAX];
	int rc;

	if (s->alone)
		return 0;
	rc = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo);
	if (rc < 0)
		return error_set(err, -rc, "read /proc/self/mountinfo");
	escape(s->path, path, sizeof(path));
	if (!submounts_in(mountinfo.data, path))
		return 0;
	return error_say(err, EOPNOTSUPP,
			 "the limit of %s can't be held: another file system is mounted below %s; "
			 "unmount it, or run as root, or without that limit",
			 limit, what);
}
