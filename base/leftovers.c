#include "base/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* of directories: refs have names with slashes */

static bool is_leftover(const char *name)
{
	size_t length = strlen(name);

	return (length > 5 && strcmp(name + length - 5, ".lock") == 0) ||
	       strncmp(name, "pack_git2_", 10) == 0;
}

static void clear(int dir, const char *name, int depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (list && (e = readdir(list))) {
		if (e->d_type == DT_DIR && e->d_name[0] != '.' && depth < DEPTH_MAX)
			clear(fd, e->d_name, depth + 1);
		else if (e->d_type == DT_REG && is_leftover(e->d_name))
			(void)unlinkat(fd, e->d_name, 0); /* the fetch will say what is wrong */
	}
	if (list)
		(void)closedir(list);
}

void leftovers_clear(const char *path)
{
	clear(AT_FDCWD, path, 0);
}
