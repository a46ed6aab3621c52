#include "sandbox/step.h"

#include <errno.h>
#include <stddef.h>

static const char *const names[STEP_COUNT] = {
	[STEP_NONE] = "nothing",
	[STEP_CLONE] = "make the namespaces",
	[STEP_IDMAP] = "write the user id map",
	[STEP_ATTACH] = "enter the cgroups",
	[STEP_GO] = "wait for the caller",
	[STEP_ORDER] = "take the order",
	[STEP_IDENTITY] = "become root of the user namespace",
	[STEP_BOUNDING] = "empty the bounding set",
	[STEP_PRIVATE] = "make the mounts private",
	[STEP_SOURCES] = "open the host's directories",
	[STEP_ROOT] = "mount the new root",
	[STEP_SKELETON] = "fill the new root",
	[STEP_SYSTEM] = "mount /usr",
	[STEP_ETC] = "make /etc",
	[STEP_DEVICES] = "mount the devices",
	[STEP_PTS] = "mount /dev/pts",
	[STEP_QUEUES] = "mount /dev/mqueue",
	[STEP_PROC] = "mount /proc",
	[STEP_PROC_MASK] = "mask /proc",
	[STEP_PRIVATE_DIRS] = "mount the private directories",
	[STEP_SIZE] = "size the private directories",
	[STEP_WORKTREE] = "mount the worktree",
	[STEP_BINDS] = "mount the binds",
	[STEP_PIVOT] = "leave the host's root",
	[STEP_READONLY] = "make the root read-only",
	[STEP_RULES] = "make the rules of Landlock",
	[STEP_NETWORK] = "bring lo up",
	[STEP_HOSTNAME] = "set the host name",
	[STEP_CGROUP_NAMESPACE] = "make the cgroup namespace",
	[STEP_LIMITS] = "set the resource limits",
	[STEP_TITLE] = "hide the caller's command line",
	[STEP_FORK] = "start the program's process",
	[STEP_STDIO] = "set up standard input and output",
	[STEP_WORKDIR] = "enter the working directory",
	[STEP_USER] = "become the job's user",
	[STEP_CAPS] = "drop the capabilities",
	[STEP_LANDLOCK] = "apply Landlock",
	[STEP_SECCOMP] = "load the system call filter",
	[STEP_LISTENER] = "give the caller the filter's listener",
	[STEP_EXEC] = "execute the program",
};

const char *step_name(enum step step)
{
	if (step < 0 || step >= STEP_COUNT || !names[step])
		return "an unknown step";
	return names[step];
}

static const char too_many_open[] =
	"this process, or its launcher, has as many descriptors open as it may; raise that limit "
	"(ulimit -n), or close some";
static const char on_their_way[] =
	"this user has more descriptors on their way between processes than he may have open; "
	"raise that limit (ulimit -n), or have them received";

static const struct {
	enum step step;
	int code; /* 0: any */
	const char *remedy;
} remedies[] = {
	{STEP_CLONE, EPERM,
	 "user namespaces are refused here; allow them (sysctl kernel.unprivileged_userns_clone=1, "
	 "or kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns`), "
	 "and in a container drop its seccomp profile or chroot"},
	{STEP_CLONE, EINVAL,
	 "this kernel lacks one of the namespaces; Linux 5.14 or later is needed"},
	{STEP_CLONE, ENOSPC,
	 "the limit of namespaces is reached; raise the sysctls under user.max_*_namespaces"},
	{STEP_CLONE, EUSERS, "user namespaces are nested too deeply here"},
	{STEP_CLONE, EAGAIN, "the caller's task limit (ulimit -u, pids cgroup) is reached"},
	{STEP_IDMAP, EPERM,
	 "check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap (package uidmap) are "
	 "setuid root"},
	{STEP_PROC, EPERM,
	 "parts of this host's /proc are masked, as in a container; run it with an unmasked /proc "
	 "(docker: --security-opt systempaths=unconfined)"},
	{STEP_ETC, EFBIG,
	 "this caller's limit of file sizes (ulimit -f) is too small even for that"},
	{STEP_PIVOT, EINVAL,
	 "the host's root is a chroot or an initramfs; run from a mounted root"},
	{STEP_WORKDIR, ENOENT, "the working directory must exist inside the worktree"},
	{STEP_WORKDIR, EACCES,
	 "the job's user may not enter it; give it to the job's user or open its mode"},
	{STEP_BINDS, ENOENT,
	 "make that place first: nothing is made in the worktree, in /usr or a root of your choice, "
	 "or in another bind"},
	{STEP_BINDS, ELOOP,
	 "a part of that place is a link inside, as /lib is; name where it leads"},
	{STEP_BINDS, ENOTDIR,
	 "a directory can be shown in a directory's place only, a file in a file's"},
	{STEP_ATTACH, EBUSY,
	 "the cgroup has children with controllers; give another cgroup parent"},
	{STEP_LIMITS, EPERM, "the limit of files is above this caller's own (ulimit -Hn)"},
	{STEP_FORK, EAGAIN, "the caller's task limit (ulimit -u, pids cgroup) is reached"},
	{STEP_SYSTEM, EACCES, "everybody must be able to enter that root (chmod a+rx)"},
	{STEP_SYSTEM, EEXIST,
	 "what the root has there is a link or a file, and the sandbox needs a directory; put one "
	 "in its place"},
	{STEP_FORK, ECHILD,
	 "it was killed before it could become the program; the memory limit may be too small even "
	 "for that"},
	{STEP_LISTENER, ETOOMANYREFS, on_their_way},
	{STEP_ORDER, EMFILE, too_many_open},
	{STEP_NETWORK, 0, "the kernel refused loopback; --network host works without it"},
};

const char *step_remedy(enum step step, int code)
{
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (remedies[i].step == step && (!remedies[i].code || remedies[i].code == code))
			return remedies[i].remedy;
	return NULL;
}

const char *step_shortage(int code)
{
	if (code == EMFILE)
		return too_many_open;
	return code == ETOOMANYREFS ? on_their_way : NULL;
}
