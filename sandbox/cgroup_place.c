#include "sandbox/cgroup_place.h"

#include "base/fd.h"
#include "base/owned.h"
#include "sandbox/cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_FILE_MAX (8 << 20)

/* The child of his own group that a lone caller moves to. */
#define CALLER_GROUP "cupel-caller"

static const struct {
	const char *name;
	unsigned bit;
} names[] = {
	{"memory", CONTROLLER_MEMORY},   {"pids", CONTROLLER_PIDS},       {"cpu", CONTROLLER_CPU},
	{"cpuacct", CONTROLLER_CPUACCT}, {"freezer", CONTROLLER_FREEZER}, {"io", CONTROLLER_IO},
	{"blkio", CONTROLLER_IO},        {"cpuset", CONTROLLER_CPUSET},
};

const char *places_controller_name(unsigned controller)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].bit == controller)
			return names[i].name;
	return "?";
}

unsigned places_controllers(const char *list)
{
	unsigned found = 0;

	while (*list) {
		size_t length = strcspn(list, ", \n");

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strlen(names[i].name) == length &&
			    memcmp(names[i].name, list, length) == 0)
				found |= names[i].bit;
		list += length;
		list += strspn(list, ", \n");
	}
	return found;
}

/* The path of the caller's group in the hierarchy with these controllers (0: v2). */
static bool own_group(const char *cgroup, unsigned controllers, char *out, size_t size)
{
	for (const char *line = cgroup; line && *line;) {
		const char *end = strchr(line, '\n');
		const char *list = strchr(line, ':');
		const char *path = list ? strchr(list + 1, ':') : NULL;
		char bits[256];

		if (path && (!end || path < end)) {
			size_t length = (size_t)(path - list - 1);

			(void)snprintf(bits, sizeof(bits), "%.*s",
				       (int)(length < sizeof(bits) ? length : 0), list + 1);
			if ((controllers == 0 && length == 0) ||
			    (controllers && (places_controllers(bits) & controllers))) {
				length = end ? (size_t)(end - path - 1) : strlen(path + 1);
				(void)snprintf(out, size, "%.*s", (int)length, path + 1);
				return length < size;
			}
		}
		line = end ? end + 1 : NULL;
	}
	return false;
}

/* `group` as seen through a mount whose root is the group `root`. */
static bool join(const char *point, const char *root, const char *group, char *out, size_t size)
{
	size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strstr(group, "..") || strncmp(group, root, length) != 0)
		return false;
	group += length;
	if (strcmp(group, "/") == 0)
		group = "";
	return (size_t)snprintf(out, size, "%s%s", point, group) < size;
}

static void parse_mount(const char *line, const char *cgroup, struct places *out)
{
	char root[PATH_MAX], point[PATH_MAX], type[32], options[512], group[PATH_MAX];
	const char *dash = strstr(line, " - ");
	struct place *place = &out->place[out->count];
	bool v2;

	if (!dash || sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2 ||
	    sscanf(dash, " - %31s %*s %511s", type, options) != 2)
		return;
	v2 = strcmp(type, "cgroup2") == 0;
	if ((!v2 && strcmp(type, "cgroup") != 0) || out->count == PLACES_MAX)
		return;
	*place = (struct place){.v2 = v2, .nsdelegate = strstr(options, "nsdelegate"), .dir = -1};
	out->foreign = out->foreign || strncmp(root, "/..", 3) == 0;
	place->controllers = v2 ? 0 : places_controllers(options);
	if ((v2 || place->controllers) &&
	    own_group(cgroup, place->controllers, group, sizeof(group)) &&
	    join(point, root, group, place->path, sizeof(place->path)))
		out->count++;
}

void places_parse(const char *mountinfo, const char *cgroup, struct places *out)
{
	owned_str *copy = strdup(mountinfo);
	char *rest = NULL;

	*out = (struct places){.count = 0};
	if (!copy)
		return;
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		parse_mount(line, cgroup, out);
}

/* The place that would have them: v1's own hierarchy of theirs, or the v2 tree. */
static const struct place *place_for(const struct places *places, unsigned controllers)
{
	const struct place *found = NULL;

	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->place[i];

		if ((place->controllers & controllers) || (place->v2 && !found))
			found = place;
	}
	return found;
}

void places_remedy(const struct places *places, unsigned controllers, bool root, char *out,
		   size_t size)
{
	const struct place *place = place_for(places, controllers);

	if (places->error)
		(void)snprintf(out, size, "/proc/self/mountinfo and cgroup can't be read (%s)",
			       strerror(places->error));
	else if (places->foreign && !(place && place->controllers & controllers))
		(void)snprintf(out, size,
			       "the control groups mounted here are of a namespace outside of this "
			       "process's; start it in that one, or mount those of its own");
	else if (!places->count)
		(void)snprintf(out, size,
			       "no control groups are mounted; mount -t cgroup2 none "
			       "/sys/fs/cgroup");
	else if (!place || !place->error)
		(void)snprintf(out, size,
			       "no control group here has the controller %s: the kernel lacks it, "
			       "or it isn't passed down to this user (Delegate=cpu cpuset io "
			       "memory pids for user@.service)",
			       places_controller_name(controllers & -controllers));
	else if (place->error == EROFS)
		(void)snprintf(out, size,
			       "the control group %s is on a read-only mount; mount it read-write "
			       "(a container wants its own: --cgroupns=private, rw)",
			       place->path);
	else
		(void)snprintf(out, size, "the control group %s can't be used (%s); %s",
			       place->path, strerror(place->error),
			       root ? "whoever made this container keeps it from its root"
			       : place->v2
				       ? "run as root, or in a delegated control group "
					 "(systemd-run --user --scope -p Delegate=yes)"
				       : "run as root, or in a group of that hierarchy that "
					 "this user owns (chown of the directory and its files)");
}

/* -errno. */
static int open_writable(const char *path)
{
	owned_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ||
	    faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return -errno;
	return give_fd(&fd);
}

static unsigned listed(int dir, const char *file)
{
	char text[512];

	return cgroup_read_text(dir, file, text, sizeof(text)) < 0 ? 0 : places_controllers(text);
}

/* What children of `dir` can have, after enabling what all jobs get. */
static unsigned enable(int dir)
{
	unsigned can = listed(dir, "cgroup.controllers");

	for (unsigned bit = 1; bit < CONTROLLER_CPUSET; bit <<= 1) {
		char text[32];

		(void)snprintf(text, sizeof(text), "+%s", places_controller_name(bit));
		if (can & bit) /* whether it took is read back below */
			(void)cgroup_write_text(dir, "cgroup.subtree_control", text);
	}
	return listed(dir, "cgroup.subtree_control") | (can & CONTROLLER_CPUSET);
}

static bool alone(int dir)
{
	char text[64];

	return cgroup_read_text(dir, "cgroup.procs", text, sizeof(text)) >= 0 &&
	       strtol(text, NULL, 10) == (long)getpid() && strchr(text, '\n') &&
	       strchr(text, '\n')[1] == '\0';
}

/* Steps aside, so that this group's children can have controllers. */
static bool step_aside(int dir)
{
	owned_fd child = -1;

	if (mkdirat(dir, CALLER_GROUP, 0755) < 0 && errno != EEXIST)
		return false;
	child = openat(dir, CALLER_GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return child >= 0 && cgroup_write_text(child, "cgroup.procs", "0") == 0;
}

/* With somebody inside not even the controllers that the kernel would then enable are: they would
 * turn the group into one of threads, whose children take no process. */
static void take_own(struct place *place, int dir, bool is_root)
{
	unsigned passed = listed(dir, "cgroup.subtree_control");
	bool empty = is_root || (passed & CONTROLLER_MEMORY) ||
		     (listed(dir, "cgroup.controllers") && alone(dir) && step_aside(dir));

	place->dir = dir;
	place->controllers = empty ? enable(dir) : passed;
}

static void take_v2(struct place *place)
{
	int own = open_writable(place->path);
	char *slash = strrchr(place->path, '/');
	bool is_root = own >= 0 && faccessat(own, "cgroup.events", F_OK, 0) < 0;
	unsigned controllers;
	int parent = -1;

	if (own >= 0)
		take_own(place, own, is_root);
	else
		place->error = -own;
	if (is_root || (place->controllers & CONTROLLER_MEMORY) || !slash)
		return;
	*slash = '\0';
	parent = open_writable(place->path);
	controllers = parent < 0 ? 0 : enable(parent);
	if (parent >= 0 && (own < 0 || (controllers & CONTROLLER_MEMORY))) {
		place->dir = parent;
		place->controllers = controllers;
		place->error = 0;
		if (own >= 0)
			(void)close(own);
		return;
	}
	*slash = '/';
	if (parent >= 0)
		(void)close(parent);
}

static void take_v1(struct place *place)
{
	int dir = open_writable(place->path);

	place->dir = dir < 0 ? -1 : dir;
	place->error = dir < 0 ? -dir : 0;
}

static void find(struct places *places)
{
	owned_buffer mountinfo = {0}, cgroup = {0};
	int rc = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &mountinfo);

	if (rc == 0)
		rc = fd_read_file(AT_FDCWD, "/proc/self/cgroup", PROC_FILE_MAX, &cgroup);
	if (rc < 0) {
		places->error = -rc;
		return;
	}
	places_parse(mountinfo.data, cgroup.data, places);
	for (size_t i = 0; i < places->count; i++) {
		struct place *place = &places->place[i];

		if (place->v2)
			take_v2(place);
		else
			take_v1(place);
	}
}

static void forget(struct places *places)
{
	for (size_t i = 0; i < places->count; i++)
		if (places->place[i].dir >= 0)
			(void)close(places->place[i].dir);
	*places = (struct places){0};
}

/* For a place each, and what is opened meanwhile. */
static bool has_room(void)
{
	int fd[PLACES_MAX + 4];
	size_t count = 0;

	while (count < sizeof(fd) / sizeof(fd[0]) &&
	       (fd[count] = open("/", O_PATH | O_CLOEXEC)) >= 0)
		count++;
	for (size_t i = 0; i < count; i++)
		(void)close(fd[i]);
	return count == sizeof(fd) / sizeof(fd[0]);
}

const struct places *places_get(void)
{
	static struct places places;
	static bool found;

	if (!found) {
		forget(&places);
		found = has_room(); /* else what is seen is all that could be opened */
		find(&places);
	}
	return &places;
}
