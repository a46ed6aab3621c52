#include "sandbox/sys.h"

#include <limits.h>
#include <sys/stat.h>

/* One component; a link opens as itself with O_PATH, and is found out. */
static int open_component(int dir, const char *name, uint64_t flags)
{
	int fd = openat(dir, name, ((int)flags & ~O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = {0};

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode) &&
	    (S_ISDIR(st.st_mode) || !(flags & O_DIRECTORY)))
		return fd;
	(void)close(fd);
	errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
	return -1;
}

int sys_walk(int dir, const char *path, uint64_t flags, bool beneath)
{
	int at = openat(dir, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	path += strspn(path, "/");
	while (at >= 0 && *path) {
		size_t length = strcspn(path, "/");
		char name[NAME_MAX + 1];
		bool last = path[length + strspn(path + length, "/")] == '\0';
		int next = -1, code = ENAMETOOLONG;

		if (length <= NAME_MAX) {
			memcpy(name, path, length);
			name[length] = '\0';
			errno = EXDEV;
			if (!beneath || strcmp(name, "..") != 0)
				next = open_component(at, name,
						      last ? flags : O_PATH | O_DIRECTORY);
			code = errno;
		}
		(void)close(at);
		errno = code;
		at = next;
		path += length;
		path += strspn(path, "/");
	}
	return at;
}

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = resolve | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd >= 0 || errno != ENOSYS)
		return fd;
	return sys_walk(dir, path, flags, (resolve & RESOLVE_BENEATH) != 0);
}
