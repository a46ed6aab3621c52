#include "sandbox/surroundings.h"

#include "sandbox/sys.h"

#include <linux/capability.h>
#include <linux/stat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int check_proc(struct error *err)
{
	char own[32];
	ssize_t n = readlink("/proc/self", own, sizeof(own) - 1);

	own[n < 0 ? 0 : n] = '\0';
	if (n < 0)
		return error_say(err, ENOENT,
				 "/proc isn't mounted here; mount it (mount -t proc proc /proc)");
	if (strtol(own, NULL, 10) != (long)getpid())
		return error_say(err, ESRCH,
				 "/proc here is another process namespace's; mount this one's "
				 "(unshare --mount-proc, or mount -t proc proc /proc)");
	return 0;
}

/* The kernel makes no user namespace in one (user_namespaces(7), EPERM). */
static int check_root(struct error *err)
{
	struct statx root;

	if (statx(AT_FDCWD, "/", 0, STATX_TYPE, &root) == 0 &&
	    (root.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
	    !(root.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return error_say(err, EPERM,
				 "this is a chroot, in which the kernel makes no user namespace; "
				 "run it outside, or make that directory a root by pivot_root "
				 "(systemd-nspawn, bwrap)");
	return 0;
}

/* /proc/sys/kernel/overflowuid: how an id without a name here looks. */
#define OVERFLOW_ID 65534

static bool is_mapped(const char *file, uint32_t id)
{
	FILE *map = fopen(file, "re");
	uint32_t first, outside, count;
	bool found = !map; /* an old kernel */

	while (map && !found && fscanf(map, "%u %u %u", &first, &outside, &count) == 3)
		found = id >= first && id - first < count;
	if (map)
		(void)fclose(map);
	return found;
}

/* Nor for who is nobody in this one. */
static int check_ids(struct error *err)
{
	if ((geteuid() != OVERFLOW_ID || is_mapped("/proc/self/uid_map", OVERFLOW_ID)) &&
	    (getegid() != OVERFLOW_ID || is_mapped("/proc/self/gid_map", OVERFLOW_ID)))
		return 0;
	return error_say(err, EPERM,
			 "this process has no user id in its own user namespace; map it when that "
			 "is made (unshare --map-root-user or --map-current-user)");
}

static const struct {
	int number;
	const char *name;
} needed[] = {{CAP_SYS_ADMIN, "sys_admin"},
	      {CAP_SETUID, "setuid"},
	      {CAP_SETGID, "setgid"},
	      {CAP_SETPCAP, "setpcap"},
	      {CAP_SYS_CHROOT, "sys_chroot"}};

static int check_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct has[2] = {{0}};
	char missing[64] = "";
	size_t length = 0;

	if (geteuid() != 0 || syscall(SYS_capget, &header, has) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!(has[0].effective & 1U << needed[i].number))
			length += (size_t)snprintf(missing + length, sizeof(missing) - length,
						   "%s%s", length ? ", " : "", needed[i].name);
	if (!length)
		return 0;
	return error_say(err, EPERM,
			 "this root has not the capabilities that it needs: %s; give them (docker: "
			 "--cap-add), or run as an ordinary user",
			 missing);
}

int surroundings_check(struct error *err)
{
	static atomic_bool right;
	int rc = right ? 0 : check_proc(err);

	if (rc == 0 && !right)
		rc = check_root(err);
	if (rc == 0 && !right)
		rc = check_ids(err);
	if (rc == 0 && !right)
		rc = check_capabilities(err);
	right = right || rc == 0;
	return rc;
}
