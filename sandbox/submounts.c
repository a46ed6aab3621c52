#include "sandbox/submounts.h"

#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MOUNTINFO_MAX (8 << 20)

/* The place of a mount below `path`, relative to that; NULL. The fifth field is the place, the type
 * stands behind the lone dash (proc_pid_mountinfo(5)). */
static const char *place_below(const char *line, const char *end, const char *path)
{
	size_t length = strlen(path);
	const char *at = line;

	for (int field = 0; at && field < 4; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	return at && (size_t)(end - at) > length && memcmp(at, path, length) == 0 &&
			       at[length] == '/'
		       ? at + length + 1
		       : NULL;
}

static bool begins_with(const char *at, const char *end, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(end - at) > length && memcmp(at, word, length) == 0 && at[length] == ' ';
}

static bool is_of_type(const char *place, const char *end, const char *type)
{
	const char *dash = memmem(place, (size_t)(end - place), " - ", 3);

	return dash && begins_with(dash + 3, end, type);
}

bool submounts_in(const char *mountinfo, const char *path, const char *type, const char *but)
{
	for (const char *line = mountinfo; line && *line;) {
		const char *end = strchrnul(line, '\n');
		const char *place = place_below(line, end, path);

		if (place && (!type || is_of_type(place, end, type)) &&
		    (!but || !begins_with(place, end, but)))
			return true;
		line = *end ? end + 1 : NULL;
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

static int any_below(const char *real, const char *type, const char *but, struct error *err)
{
	owned_buffer mountinfo = {0};
	char path[PATH_MAX];
	int rc = fd_read_file(AT_FDCWD, "/proc/thread-self/mountinfo", MOUNTINFO_MAX, &mountinfo);

	if (rc < 0)
		return error_set(err, -rc, "read /proc/thread-self/mountinfo");
	escape(real, path, sizeof(path));
	return submounts_in(mountinfo.data, path, type, but);
}

int submounts_refuse(const struct source *s, const char *limit, const char *what, struct error *err)
{
	int any = s->alone ? 0 : any_below(s->path, NULL, NULL, err);

	return any <= 0 ? any
			: error_say(err, EOPNOTSUPP,
				    "the limit of %s can't be held: another file system is mounted "
				    "below %s; unmount it, or run as root, or without that limit",
				    limit, what);
}

int submounts_refuse_proc(const struct source *s, const char *but, const char *what,
			  struct error *err)
{
	int any = s->alone || !s->directory ? 0 : any_below(s->path, "proc", but, err);

	return any <= 0 ? any
			: error_say(err, EINVAL,
				    "below %s a /proc is mounted, which would show the host's "
				    "processes; unmount it, or give the directories beside it",
				    what);
}
