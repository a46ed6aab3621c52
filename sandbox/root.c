#include "sandbox/root.h"

#include "sandbox/sys.h"
#include "sandbox/target.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* The root holds names only; what is written stands on other mounts. */
#define ROOT_SIZE   "1M"
#define ROOT_INODES "512"

int root_private(struct plan *plan)
{
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? plan_fail(plan, "/") : 0;
}

int root_sources(struct plan *plan)
{
	struct source *all[] = {&plan->worktree, &plan->system};
	int rc = 0;

	for (size_t i = 0; i < 2 + plan->bind_count && rc == 0; i++) {
		struct source *s = i < 2 ? all[i] : &plan->binds[i - 2];

		rc = source_detach(s);
		if (rc < 0) {
			errno = -rc;
			return plan_fail(plan, s->path);
		}
	}
	return rc;
}

int root_make_mount(const char *type, const struct root_option *options, unsigned attributes)
{
	int fs = fsopen(type, FSOPEN_CLOEXEC), fd = -1, code;

	if (fs < 0)
		return -1;
	for (; options->key; options++)
		if (fsconfig(fs, options->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
			     options->key, options->value, 0) < 0)
			goto out;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | attributes);
out:
	code = errno;
	(void)close(fs);
	errno = code;
	return fd;
}

/* Moves the detached mount onto `path` below the new root, and closes it. */
static int attach(struct plan *plan, int fd, const char *path)
{
	int rc = 0;

	if (fd < 0 || move_mount(fd, "", plan->root, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		rc = plan_fail(plan, path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

struct size {
	char bytes[32], inodes[32];
};

/* printf would be six page faults. */
static void write_number(char out[32], uint64_t number)
{
	char *at = out + 31;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	memmove(out, at, (size_t)(out + 32 - at));
}

static struct size private_size(const struct plan *plan)
{
	struct size size = {"", ""};

	write_number(size.bytes, plan->private_bytes);
	write_number(size.inodes, plan->private_inodes);
	return size;
}

static int private_mount(const struct plan *plan)
{
	struct size size = private_size(plan);
	const struct root_option options[] = {
		{"size", size.bytes}, {"nr_inodes", size.inodes}, {"mode", "0755"}, {NULL, NULL}};

	return root_make_mount("tmpfs", options, MOUNT_ATTR_NODEV);
}

int root_tmpfs(struct plan *plan)
{
	static const struct root_option options[] = {
		{"size", ROOT_SIZE}, {"nr_inodes", ROOT_INODES}, {"mode", "0755"}, {NULL, NULL}};

	plan->root = root_make_mount("tmpfs", options, MOUNT_ATTR_NODEV);
	return plan->root < 0 ? plan_fail(plan, "tmpfs") : 0;
}

/* Mounts can be cloned only from mounts that stand somewhere: the private directories' file system
 * and the root of the owner's choice stand on the host's /proc, and go with it. They must not stand
 * on /, where they would hide the host's root from the umount in root_pivot(). */
int root_mount(struct plan *plan)
{
	int below[] = {plan->system.fd, private_mount(plan)};

	if (below[1] < 0)
		return plan_fail(plan, "tmpfs of the private directories");
	plan->store = below[1];
	for (size_t i = 0; i < 2; i++)
		if (below[i] >= 0 &&
		    move_mount(below[i], "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return plan_fail(plan, i ? "private directories" : plan->system.path);
	if (!plan->templated && root_tmpfs(plan) < 0)
		return -errno;
	if (move_mount(plan->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return plan_fail(plan, "/");
	return 0;
}

/* The root that this process was born into is what it takes. Its /proc, over which the job's own
 * will stand, is where the private directories' file system goes. */
int root_ready(struct plan *plan)
{
	plan->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	plan->store = private_mount(plan);
	if (plan->root < 0 || plan->store < 0 ||
	    move_mount(plan->store, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return plan_fail(plan, "private directories");
	return 0;
}

int root_skeleton(struct plan *plan)
{
	static const char *const directories[] = {"usr",
						  "etc",
						  "proc",
						  "dev",
						  "dev/pts",
						  "dev/shm",
						  "dev/mqueue",
						  "tmp",
						  "var",
						  "var/tmp",
						  "home",
						  "run",
						  ("home/" SANDBOX_USER),
						  "root",
						  "sys",
						  "opt",
						  "mnt",
						  "srv",
						  "build"};
	static const char *const links[][2] = {
		{"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
		{"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
		{"pts/ptmx", "dev/ptmx"},          {"/run", "var/run"},
		{"/proc/self/mounts", "etc/mtab"}};

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		if (mkdirat(plan->root, directories[i], 0755) < 0)
			return plan_fail(plan, directories[i]);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlinkat(links[i][0], plan->root, links[i][1]) < 0)
			return plan_fail(plan, links[i][1]);
	return 0;
}

/* /bin and its like: a link where the host has one, else the directory itself. */
static int system_entry(struct plan *plan, const char *name)
{
	char from[64], target[64];
	ssize_t n;

	(void)snprintf(from, sizeof(from), "/%s", name);
	n = readlink(from, target, sizeof(target) - 1);
	if (n > 0) {
		target[n] = '\0';
		return symlinkat(target, plan->root, name) < 0 ? plan_fail(plan, name) : 0;
	}
	if (errno != EINVAL)
		return errno == ENOENT ? 0 : plan_fail(plan, name);
	if (mkdirat(plan->root, name, 0755) < 0)
		return plan_fail(plan, name);
	return attach(plan, source_mount(AT_FDCWD, from, SOURCE_READONLY), name);
}

static int write_at(struct plan *plan, int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t length = strlen(text);
	int rc = 0;

	if (fd < 0)
		return plan_fail(plan, path);
	if (length && write(fd, text, length) != (ssize_t)length)
		rc = plan_fail(plan, path);
	(void)close(fd);
	return rc;
}

static int write_file(struct plan *plan, const char *path, const char *text)
{
	return write_at(plan, plan->root, path, text);
}

/* One entry of the root of the owner's choice. */
static int chosen_entry(struct plan *plan, const char *name)
{
	static const char *const ours[] = {".",   "..",  "proc", "dev",  "sys",
					   "tmp", "run", "home", "build"};
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int rc = 0;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(name, ours[i]) == 0)
			return 0;
	if (fstatat(plan->system.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return plan_fail(plan, name);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(plan->system.fd, name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		return n < 0 || symlinkat(target, plan->root, name) < 0 ? plan_fail(plan, name) : 0;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0;
	if (S_ISREG(st.st_mode))
		rc = write_file(plan, name, "");
	if (rc < 0)
		return rc == -EEXIST ? 0 : rc;
	if (S_ISDIR(st.st_mode) && mkdirat(plan->root, name, 0755) < 0 && errno != EEXIST)
		return plan_fail(plan, name);
	return attach(plan, source_mount(plan->system.fd, name, SOURCE_READONLY), name);
}

static int chosen_system(struct plan *plan)
{
	int fd = openat(plan->system.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return plan_fail(plan, plan->system.path);
	while (rc == 0 && (entry = readdir(dir)))
		rc = chosen_entry(plan, entry->d_name);
	(void)closedir(dir);
	return rc;
}

static int host_system(struct plan *plan)
{
	static const char *const entries[] = {"bin", "sbin", "lib", "lib64", "lib32", "libx32"};
	int rc = attach(plan, source_mount(AT_FDCWD, "/usr", SOURCE_READONLY), "usr");

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]) && rc == 0; i++)
		rc = system_entry(plan, entries[i]);
	return rc;
}

int root_system(struct plan *plan)
{
	return plan->system.fd >= 0 ? chosen_system(plan) : host_system(plan);
}

/* A copy of what the host has at that path, as it is now; what it hasn't is left out. */
static int show(struct plan *plan, const char *path, unsigned flags)
{
	int fd = open(path, O_PATH | O_CLOEXEC), mount, rc = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : plan_fail(plan, path);
	if (fstat(fd, &st) < 0)
		rc = plan_fail(plan, path);
	else if (S_ISDIR(st.st_mode))
		rc = mkdirat(plan->root, path + 1, 0755) < 0 ? plan_fail(plan, path) : 0;
	else
		rc = write_file(plan, path + 1, "");
	if (rc == 0) {
		mount = source_mount(fd, "", SOURCE_READONLY | flags);
		rc = attach(plan, mount, path + 1);
	}
	(void)close(fd);
	return rc;
}

static const char passwd[] = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
			     "job:x:1000:1000:job:/home/job:/bin/sh\n"
			     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
static const char group[] = "root:x:0:\ntty:x:5:\njob:x:1000:\nnogroup:x:65534:\n";

static const char *hostname_of(const struct plan *plan)
{
	return plan->spec->hostname ? plan->spec->hostname : "cupel";
}

static void write_hosts(const struct plan *plan, char *out, size_t size)
{
	(void)snprintf(out, size, "127.0.0.1 localhost %s\n::1 localhost\n", hostname_of(plan));
}

/* The owner's root has its own /etc; only who is who inside is ours, where it has a place for it.
 */
static int chosen_etc(struct plan *plan)
{
	char hosts[256];
	const char *const files[][2] = {{"passwd", passwd}, {"group", group}, {"hosts", hosts}};
	int rc = 0;

	write_hosts(plan, hosts, sizeof(hosts));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == 0; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "etc/%s", files[i][0]);
		rc = write_at(plan, plan->store, files[i][0], files[i][1]);
		if (rc == 0)
			rc = attach(plan, source_mount(plan->store, files[i][0], SOURCE_READONLY),
				    path);
		rc = rc == -ENOENT ? 0 : rc; /* a root without users */
	}
	return rc;
}

static int host_etc(struct plan *plan)
{
	static const char *const written[][2] = {
		{"etc/passwd", passwd},
		{"etc/group", group},
		{"etc/nsswitch.conf",
		 "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
		 "networks: files\nprotocols: files\nservices: files\n"},
		{"etc/host.conf", "multi on\n"},
	};
	/* Nothing of these tells who the host's users are. */
	static const char *const shown[] = {
		"/etc/services",        "/etc/protocols",       "/etc/alternatives",
		"/etc/ld.so.cache",     "/etc/ssl/certs",       "/etc/ssl/openssl.cnf",
		"/etc/localtime",       "/etc/java-11-openjdk", "/etc/java-17-openjdk",
		"/etc/java-21-openjdk", "/etc/java-25-openjdk"};
	char hosts[256];
	int rc = 0;

	write_hosts(plan, hosts, sizeof(hosts));
	rc = write_file(plan, "etc/hosts", hosts);
	if (rc == 0)
		rc = write_file(plan, "etc/hostname", hostname_of(plan));
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]) && rc == 0; i++)
		rc = write_file(plan, written[i][0], written[i][1]);
	if (rc == 0 && mkdirat(plan->root, "etc/ssl", 0755) < 0)
		rc = plan_fail(plan, "etc/ssl");
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]) && rc == 0; i++)
		rc = show(plan, shown[i], 0);
	if (rc == 0 && plan->spec->network == SANDBOX_NETWORK_HOST)
		rc = show(plan, "/etc/resolv.conf", 0);
	return rc;
}

int root_etc(struct plan *plan)
{
	return plan->system.fd >= 0 ? chosen_etc(plan) : host_etc(plan);
}

int root_devices(struct plan *plan)
{
	static const char *const devices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
					      "/dev/random", "/dev/urandom", "/dev/tty"};
	int rc = 0;

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && rc == 0; i++)
		rc = show(plan, devices[i], SOURCE_DEVICE);
	return rc;
}

int root_pts(struct plan *plan)
{
	/* Group 5 is tty; where that id isn't mapped, the job's own group has it. */
	const struct root_option options[] = {{"ptmxmode", "0666"},
					      {"mode", "0620"},
					      {plan->ids.has_root ? "gid" : NULL, "5"},
					      {NULL, NULL}};

	return attach(plan, root_make_mount("devpts", options, MOUNT_ATTR_NOEXEC), "dev/pts");
}

/* The ipc namespace's message queues. Mounted, they have a place that rules of Landlock can name.
 */
int root_queues(struct plan *plan)
{
	static const struct root_option none[] = {{NULL, NULL}};
	int fd = root_make_mount("mqueue", none, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

	if (fd < 0 && errno == ENODEV)
		return 0; /* a kernel without them */
	return attach(plan, fd, "dev/mqueue");
}

int root_proc(struct plan *plan)
{
	static const struct root_option options[] = {{NULL, NULL}};

	return attach(plan, root_make_mount("proc", options, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
		      "proc");
}

/* Over itself, read-only. */
static int freeze_entry(struct plan *plan, const char *path)
{
	int fd = source_mount(plan->root, path, SOURCE_READONLY | SOURCE_ALONE);

	if (fd < 0 && errno == ENOENT)
		return 0;
	return attach(plan, fd, path);
}

static int hide_entry(struct plan *plan, const char *path)
{
	struct stat st;
	int fd;

	if (fstatat(plan->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : plan_fail(plan, path);
	/* /sys of the new root is an empty directory. */
	fd = source_mount(plan->root, S_ISDIR(st.st_mode) ? "sys" : "dev/null",
			  SOURCE_READONLY | SOURCE_ALONE);
	return attach(plan, fd, path);
}

int root_proc_mask(struct plan *plan)
{
	static const char *const frozen[] = {"proc/sys", "proc/bus", "proc/fs", "proc/irq"};
	static const char *const hidden[] = {
		"proc/sysrq-trigger", "proc/kcore",     "proc/keys",      "proc/kmsg",
		"proc/timer_list",    "proc/acpi",      "proc/scsi",      "proc/sched_debug",
		"proc/latency_stats", "proc/key-users", "proc/kpagecount"};
	int rc = 0;

	/* A user namespace inside can mount its own /proc only while none is masked. */
	if (plan->spec->profile == SANDBOX_NESTED)
		return 0;
	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]) && rc == 0; i++)
		rc = freeze_entry(plan, frozen[i]);
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]) && rc == 0; i++)
		rc = hide_entry(plan, hidden[i]);
	return rc;
}

static const struct {
	const char *name, *target;
	mode_t mode;
} private_dirs[] = {
	{"tmp", "tmp", 01777},     {"var-tmp", "var/tmp", 01777},
	{"shm", "dev/shm", 01777}, {"home", ("home/" SANDBOX_USER), 0700},
	{"build", "build", 0700},
};

static int private_dir(struct plan *plan, size_t i)
{
	const char *name = private_dirs[i].name;
	int rc;

	if (mkdirat(plan->store, name, private_dirs[i].mode) < 0 ||
	    (plan->ids.has_root && fchownat(plan->store, name, SANDBOX_UID, SANDBOX_UID, 0) < 0))
		return plan_fail(plan, private_dirs[i].target);
	rc = attach(plan, open_tree(plan->store, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
		    private_dirs[i].target);
	/* A root of the owner's choice may lack the place. */
	return rc == -ENOENT && plan->system.fd >= 0 ? 0 : rc;
}

/* One file system behind all of them, so that one bound holds for all. */
int root_private_dirs(struct plan *plan)
{
	size_t count = sizeof(private_dirs) / sizeof(private_dirs[0]);
	int rc = 0;

	if (plan->worktree.fd >= 0)
		count--; /* the last one stands for it */
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = private_dir(plan, i);
	return rc;
}

int root_size(struct plan *plan)
{
	struct size size = private_size(plan);
	int fs, rc = 0;

	if (plan->private_bytes == plan->born_bytes && plan->private_inodes == plan->born_inodes)
		return 0;
	fs = fspick(plan->store, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", size.bytes, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", size.inodes, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		rc = plan_fail(plan, "tmpfs");
	if (fs >= 0)
		(void)close(fs);
	return rc;
}

int root_worktree(struct plan *plan)
{
	if (plan->worktree.fd < 0)
		return 0;
	return attach(plan, fcntl(plan->worktree.fd, F_DUPFD_CLOEXEC, 3), &SANDBOX_WORKTREE[1]);
}

int root_binds(struct plan *plan)
{
	int rc = 0;

	for (size_t i = 0; i < plan->bind_count && rc == 0; i++) {
		const struct source *s = &plan->binds[i];
		int target = target_open(plan->root, s->target, s->directory);

		if (target < 0)
			return plan_fail(plan, s->target);
		if (move_mount(s->fd, "", target, "",
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			rc = plan_fail(plan, s->target);
		(void)close(target);
	}
	return rc;
}

/* Nothing is above /: the proof that the host's tree is gone. */
static int root_is_all(struct plan *plan)
{
	struct stat root, above;

	if (fstat(plan->root, &root) < 0 || stat("/..", &above) < 0)
		return plan_fail(plan, "/..");
	if (root.st_dev != above.st_dev || root.st_ino != above.st_ino) {
		errno = ENOTEMPTY;
		return plan_fail(plan, "the host's tree is still there");
	}
	return 0;
}

int root_pivot(struct plan *plan)
{
	if (fchdir(plan->root) < 0 || sys_pivot_root(".", ".") < 0)
		return plan_fail(plan, "pivot_root");
	/* The host's root is on top of ours now. */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return plan_fail(plan, "the old root");
	return root_is_all(plan);
}

int root_readonly(struct plan *plan)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (mount_setattr(plan->root, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return plan_fail(plan, "/");
	(void)close(plan->root);
	plan->root = -1;
	return 0;
}
