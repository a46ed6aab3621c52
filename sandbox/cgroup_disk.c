#include "sandbox/cgroup_disk.h"

#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_text.h"
#include "sandbox/submounts.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* Deeper than anybody's groups are. */
#define GROUPS_DEEP 32

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static void path_of(dev_t disk, const char *below, char *out, size_t size)
{
	(void)snprintf(out, size, "/sys/dev/block/%u:%u%s", major(disk), minor(disk), below);
}

static bool has(dev_t disk, const char *below)
{
	char path[64];

	path_of(disk, below, path, sizeof(path));
	return access(path, F_OK) == 0;
}

void disk_name(dev_t disk, char *out, size_t size)
{
	char path[64], link[PATH_MAX];
	ssize_t n;
	const char *last;

	path_of(disk, "", path, sizeof(path));
	n = readlink(path, link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = '\0';
	last = strrchr(link, '/');
	(void)snprintf(out, size, "%.60s", last ? last + 1 : strrchr(path, '/') + 1);
}

bool disk_passes_on(dev_t disk)
{
	return has(disk, "/dm") || has(disk, "/md") || has(disk, "/loop");
}

/* Partitions share the limits of their disk, and the kernel takes only that. */
static int whole(dev_t device, dev_t *out)
{
	char path[64], text[64];
	unsigned ma, mi;
	int rc;

	*out = device;
	if (!has(device, "/partition"))
		return has(device, "") ? 0 : -ENODEV;
	path_of(device, "/../dev", path, sizeof(path));
	rc = cgroup_read_text(AT_FDCWD, path, text, sizeof(text));
	if (rc < 0 || sscanf(text, "%u:%u", &ma, &mi) != 2)
		return rc < 0 ? rc : -ENODEV;
	*out = makedev(ma, mi);
	return 0;
}

static bool in_memory(const struct statfs *fs)
{
	return (unsigned)fs->f_type == TMPFS_MAGIC || (unsigned)fs->f_type == RAMFS_MAGIC;
}

static bool charges(const struct statfs *fs)
{
	switch ((unsigned)fs->f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static int add(struct disks *out, const struct source *s, const char *what, struct error *err)
{
	struct disk disk = {0};
	struct statfs fs;
	int rc = submounts_refuse(s, "io", what, err);

	if (rc < 0)
		return rc;
	if (fstatfs(s->fd, &fs) < 0)
		return error_set(err, errno, "look at the file system of %s", what);
	if (in_memory(&fs))
		return 0;
	if (whole(s->device, &disk.device) < 0)
		return error_say(
			err, EOPNOTSUPP,
			"the limit of io can't be held: the file system of %s tells of no disk "
			"(btrfs, overlay, network); put it on ext4 or xfs, or run without that "
			"limit",
			what);
	disk.charges = charges(&fs);
	for (size_t i = 0; i < out->count; i++)
		if (out->disk[i].device == disk.device) {
			out->disk[i].charges &= disk.charges;
			return 0;
		}
	out->disk[out->count++] = disk;
	return 0;
}

int disks_find(const struct plan *plan, struct disks *out, struct error *err)
{
	int rc = 0;

	out->count = 0;
	if (plan->worktree.fd >= 0)
		rc = add(out, &plan->worktree, "the worktree", err);
	for (size_t i = 0; i < plan->bind_count && rc == 0; i++)
		if (plan->binds[i].writable)
			rc = add(out, &plan->binds[i], "a writable bind", err);
	if (rc == 0 && out->count == 0)
		rc = error_say(err, EOPNOTSUPP,
			       "the limit of io can't be held: nothing that the job can write is "
			       "on a disk; give it a worktree on one, or run without that limit");
	return rc;
}

bool disk_cost_is_on(const char *text, dev_t disk)
{
	char on[48];
	size_t length;

	(void)snprintf(on, sizeof(on), "%u:%u enable=1", major(disk), minor(disk));
	length = strlen(on);
	for (const char *at = text; (at = strstr(at, on)); at++)
		if ((at == text || at[-1] == '\n') && (at[length] == ' ' || at[length] == '\n'))
			return true;
	return false;
}

/* Only the root of the tree has the file. */
static bool weighed_by_cost(dev_t disk, int group)
{
	char path[GROUPS_DEEP * 3 + 16] = "io.cost.qos", text[8192];

	for (int level = 0; group >= 0 && level < GROUPS_DEEP; level++) {
		if (cgroup_read_text(group, path, text, sizeof(text)) >= 0)
			return disk_cost_is_on(text, disk);
		memmove(path + 3, path, strlen(path) + 1);
		memcpy(path, "../", 3);
	}
	return false;
}

enum disk_weigher disk_weigher(dev_t disk, int group)
{
	char path[64], text[256];

	path_of(disk, "/queue/scheduler", path, sizeof(path));
	if (cgroup_read_text(AT_FDCWD, path, text, sizeof(text)) > 0 && strstr(text, "[bfq]"))
		return DISK_WEIGHED_BY_BFQ;
	return weighed_by_cost(disk, group) ? DISK_WEIGHED_BY_COST : DISK_NOT_WEIGHED;
}
