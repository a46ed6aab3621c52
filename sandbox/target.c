#include "sandbox/target.h"

#include "sandbox/sys.h"

#include <limits.h>
#include <sys/stat.h>

static int make(int dir, const char *name, bool directory)
{
	int fd;

	if (directory)
		return mkdirat(dir, name, 0755);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -1 : close(fd);
}

/* Only on the new root itself: what a mount on it holds is somebody's. */
static bool ours(int root, int dir)
{
	struct stat a, b;

	return fstat(root, &a) == 0 && fstat(dir, &b) == 0 && a.st_dev == b.st_dev;
}

static int descend(int root, int dir, const char *name, bool directory)
{
	int fd = sys_openat2(dir, name, O_PATH | (directory ? O_DIRECTORY : 0), RESOLVE_BENEATH);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (!ours(root, dir)) {
		errno = ENOENT;
		return -1;
	}
	if (make(dir, name, directory) < 0)
		return -1;
	return sys_openat2(dir, name, O_PATH | (directory ? O_DIRECTORY : 0), RESOLVE_BENEATH);
}

int target_open(int root, const char *path, bool directory)
{
	int dir = fcntl(root, F_DUPFD_CLOEXEC, 3);

	while (dir >= 0) {
		size_t length = strcspn(++path, "/");
		bool last = path[length] == '\0';
		char name[NAME_MAX + 1];
		int next, code;

		memcpy(name, path, length); /* spec_path_is_plain() bounded it */
		name[length] = '\0';
		next = descend(root, dir, name, !last || directory);
		code = errno;
		(void)close(dir);
		errno = code;
		dir = next;
		path += length;
		if (last)
			break;
	}
	return dir;
}
