#include "sandbox/ids.h"

#include "base/fd.h"
#include "sandbox/guise.h"
#include "sandbox/sys.h"

#include <inttypes.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Ids that neither distributions nor systemd's containers hand out: 0x70000000 to 0x7fffffff. */
#define OWN_RANGES_FIRST 0x70000000u
#define OWN_RANGES_COUNT 4095u
#define RANGE_SIZE       65536u

#define SUBID_FILE_MAX (1 << 20)

bool ids_find_subordinate(const char *text, const char *name, uid_t uid, uint32_t least,
			  struct id_range *out)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%u", uid);
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		const char *colon = strchr(line, ':');
		size_t length = colon ? (size_t)(colon - line) : 0;
		unsigned long long start, count;

		if (length &&
		    ((name && strlen(name) == length && memcmp(name, line, length) == 0) ||
		     (strlen(number) == length && memcmp(number, line, length) == 0)) &&
		    sscanf(colon, ":%10llu:%10llu", &start, &count) == 2 && start > 0 &&
		    count >= least && start + count < UINT32_MAX) {
			out->outside = (uint32_t)start;
			out->count = (uint32_t)count;
			return true;
		}
		line = end ? end + 1 : NULL;
	}
	return false;
}

/* What this process itself can map: everything, or what its own user namespace knows. */
static int mappable(const char *file, struct id_range *out, struct error *err)
{
	owned_buffer text = {0};
	struct id_range best = {0}, now;
	const char *at;
	int used, rc = fd_read_file(AT_FDCWD, file, 65536, &text);

	if (rc < 0)
		return error_set(err, -rc, "read %s", file);
	at = text.data ? text.data : "";
	while (sscanf(at, "%" SCNu32 " %" SCNu32 " %" SCNu32 "\n%n", &now.inside, &now.outside,
		      &now.count, &used) == 3) {
		if (now.count > best.count)
			best = now;
		at += used;
	}
	*out = best;
	return 0;
}

static int choose_base(uint32_t *base, uint32_t *count, struct error *err)
{
	static struct id_range uids, gids; /* a process's maps are written once */
	struct id_range own, groups;
	int rc = 0;

	if (!uids.count || !gids.count)
		rc = mappable("/proc/self/uid_map", &uids, err);
	if (rc == 0 && (!uids.count || !gids.count))
		rc = mappable("/proc/self/gid_map", &gids, err);
	if (rc < 0)
		return rc;
	own = uids;
	groups = gids;
	if (own.inside == 0 && own.count >= 0x80000000u && groups.count >= 0x80000000u) {
		*base = OWN_RANGES_FIRST + ((uint32_t)getpid() % OWN_RANGES_COUNT) * RANGE_SIZE;
		*count = RANGE_SIZE;
		return 0;
	}
	if (groups.count < own.count)
		own.count = groups.count;
	if (own.count < SANDBOX_UID + 2)
		return error_say(err, EPERM,
				 "root of a user namespace with %u ids: the sandbox needs %d; give "
				 "the container a larger id range",
				 own.count, SANDBOX_UID + 2);
	*base = own.inside + 1; /* never this root's own id */
	*count = own.count - 1 < RANGE_SIZE ? own.count - 1 : RANGE_SIZE;
	return 0;
}

static int choose_as_root(const struct sandbox_spec *spec, struct ids *ids, struct error *err)
{
	uint32_t base = spec->id_base, count = spec->id_count;
	int rc = count ? 0 : choose_base(&base, &count, err);

	if (rc < 0)
		return rc;
	ids->uids.range[0] = (struct id_range){.inside = 0, .outside = base, .count = count};
	ids->uids.count = 1;
	ids->gids = ids->uids;
	ids->job_uid = ids->job_gid = base + SANDBOX_UID;
	ids->has_root = true;
	ids->privileged = true;
	return 0;
}

static bool subordinate(const char *file, uid_t uid, struct id_range *out)
{
	owned_buffer text = {0};
	struct passwd entry, *user = NULL;
	char room[4096];

	(void)getpwuid_r(uid, &entry, room, sizeof(room), &user); /* NULL: he has no name */
	return fd_read_file(AT_FDCWD, file, SUBID_FILE_MAX, &text) == 0 && text.data &&
	       ids_find_subordinate(text.data, user ? user->pw_name : NULL, uid, SANDBOX_UID + 1,
				    out);
}

static void map_around_own(struct id_map *map, uint32_t own, const struct id_range *sub)
{
	map->range[0] =
		(struct id_range){.inside = 0, .outside = sub->outside, .count = SANDBOX_UID};
	map->range[1] = (struct id_range){.inside = SANDBOX_UID, .outside = own, .count = 1};
	map->range[2] = (struct id_range){
		.inside = SANDBOX_UID + 1,
		.outside = sub->outside + SANDBOX_UID,
		.count = (sub->count < RANGE_SIZE ? sub->count : RANGE_SIZE) - SANDBOX_UID,
	};
	map->count = 3;
}

static void map_own_alone(struct id_map *map, uint32_t own)
{
	map->range[0] = (struct id_range){.inside = SANDBOX_UID, .outside = own, .count = 1};
	map->count = 1;
}

int ids_adopt(struct ids *ids, uid_t uid, gid_t gid)
{
	struct id_range range = ids->uids.range[0];

	if (uid == 0 || !ids->privileged || ids->uids.count != 1 ||
	    (uid >= range.outside && uid - range.outside < range.count))
		return -EPERM;
	/* The ids around keep their places: only one is somebody else. */
	map_around_own(&ids->uids, uid, &range);
	ids->job_uid = uid;
	range = ids->gids.range[0];
	if (gid != 0 && !(gid >= range.outside && gid - range.outside < range.count)) {
		map_around_own(&ids->gids, gid, &range);
		ids->job_gid = gid;
	}
	return 0;
}

int ids_choose(const struct sandbox_spec *spec, struct ids *out, struct error *err)
{
	struct id_range uids, gids;

	*out = (struct ids){0};
	if (geteuid() == 0)
		return choose_as_root(spec, out, err);
	if (spec->id_count)
		return error_say(err, EPERM, "only root can choose the host ids of a job");
	out->job_uid = geteuid();
	out->job_gid = getegid();
	/* The helpers are setuid programs. */
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 &&
	    access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0 &&
	    subordinate("/etc/subuid", geteuid(), &uids) &&
	    subordinate("/etc/subgid", geteuid(), &gids)) {
		map_around_own(&out->uids, geteuid(), &uids);
		map_around_own(&out->gids, getegid(), &gids);
		out->has_root = out->helpers = true;
		return 0;
	}
	map_own_alone(&out->uids, geteuid());
	map_own_alone(&out->gids, getegid());
	return 0;
}

uid_t ids_owner(const struct ids *ids)
{
	return ids->privileged && ids->has_root ? ids->uids.range[0].outside : GUISE_NONE;
}

static bool same_map(const struct id_map *a, const struct id_map *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->range[i].inside == b->range[i].inside &&
		       a->range[i].outside == b->range[i].outside &&
		       a->range[i].count == b->range[i].count;
	return same;
}

bool ids_same(const struct ids *a, const struct ids *b)
{
	return same_map(&a->uids, &b->uids) && same_map(&a->gids, &b->gids);
}

static int write_proc(pid_t pid, const char *file, const char *text, struct error *err)
{
	char path[64];
	owned_fd fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return error_say(
			err, EACCES,
			"write %s of the job's user namespace: this process changed its user "
			"without an exec; let it call prctl(PR_SET_DUMPABLE, 1) first",
			file);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_set(err, errno, "write %s of the job's user namespace", file);
	return 0;
}

static void format_map(const struct id_map *map, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < map->count; i++)
		used += (size_t)snprintf(out + used, size - used, "%u %u %u\n",
					 map->range[i].inside, map->range[i].outside,
					 map->range[i].count);
}

static int spawn_helper(const char *program, pid_t pid, const struct id_map *map, pid_t *out)
{
	char text[2 + 3 * IDS_RANGES_MAX][12];
	char *argv[sizeof(text) / sizeof(text[0]) + 2];
	char *const env[] = {NULL};
	size_t n = 0;

	argv[n++] = (char *)program;
	(void)snprintf(text[0], sizeof(text[0]), "%d", (int)pid);
	argv[n++] = text[0];
	for (size_t i = 0; i < map->count; i++) {
		const uint32_t value[3] = {map->range[i].inside, map->range[i].outside,
					   map->range[i].count};

		for (size_t k = 0; k < 3; k++, n++) {
			(void)snprintf(text[n - 1], sizeof(text[0]), "%u", value[k]);
			argv[n] = text[n - 1];
		}
	}
	argv[n] = NULL;
	return -posix_spawn(out, program, NULL, NULL, argv, env);
}

static int finish_helper(const char *program, int rc, pid_t pid, struct error *err)
{
	int status = 0;

	if (rc < 0)
		return error_set(err, -rc, "start %s", program);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "wait for %s", program);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_say(
			err, EPERM,
			"%s refused the id map; check /etc/subuid and /etc/subgid, and that "
			"it is setuid root",
			program);
	return 0;
}

/* Both at the same time: each costs an exec. */
static int run_helpers(const struct ids *ids, pid_t pid, struct error *err)
{
	static const char uid_program[] = "/usr/bin/newuidmap",
			  gid_program[] = "/usr/bin/newgidmap";
	pid_t uid_pid = 0, gid_pid = 0;
	int uid_rc = spawn_helper(uid_program, pid, &ids->uids, &uid_pid);
	int gid_rc = spawn_helper(gid_program, pid, &ids->gids, &gid_pid);
	int rc;

	rc = finish_helper(uid_program, uid_rc, uid_pid, err);
	gid_rc = finish_helper(gid_program, gid_rc, gid_pid, rc < 0 ? NULL : err);
	return rc < 0 ? rc : gid_rc;
}

int ids_write(const struct ids *ids, pid_t pid, struct error *err)
{
	char uids[128], gids[128];
	int rc = 0;

	if (ids->helpers)
		return run_helpers(ids, pid, err);
	format_map(&ids->uids, uids, sizeof(uids));
	format_map(&ids->gids, gids, sizeof(gids));
	if (!ids->privileged) /* the kernel's condition for a user's own gid_map */
		rc = write_proc(pid, "setgroups", "deny", err);
	if (rc == 0)
		rc = write_proc(pid, "uid_map", uids, err);
	return rc < 0 ? rc : write_proc(pid, "gid_map", gids, err);
}

static int make_mount_namespace(const struct ids *ids, uid_t uid, gid_t gid, struct error *err)
{
	struct ids map = {
		.uids = {.range = {{uid, ids->job_uid, 1}}, .count = 1},
		.gids = {.range = {{gid, ids->job_gid, 1}}, .count = 1},
		.privileged = true,
	};
	struct clone_args args = {.flags = CLONE_NEWUSER};
	char path[64];
	pid_t parent = getpid(), pid = sys_clone3(&args);
	int fd = -1, rc;

	if (pid < 0 && errno == ENOSYS)
		pid = sys_clone(CLONE_NEWUSER, NULL);
	if (pid < 0)
		return error_set(err, errno, "make a user namespace for the worktree's id map");
	if (pid == 0) { /* only its namespace is wanted; the parent kills it */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent) /* else he died before that was said */
			pause();
		_exit(1);
	}
	rc = ids_write(&map, pid, err);
	if (rc == 0) {
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			rc = error_set(err, errno, "open the worktree's user namespace");
	}
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return rc < 0 ? rc : fd;
}

int ids_mount_namespace(const struct ids *ids, uid_t uid, gid_t gid, struct error *err)
{
	/* Jobs of one process mostly have one owner's worktrees. */
	static struct {
		uid_t uid, job_uid;
		gid_t gid, job_gid;
		int fd;
	} last = {.fd = -1};
	int fd;

	if (last.fd >= 0 && last.uid == uid && last.gid == gid && last.job_uid == ids->job_uid &&
	    last.job_gid == ids->job_gid)
		return fcntl(last.fd, F_DUPFD_CLOEXEC, 3);
	fd = make_mount_namespace(ids, uid, gid, err);
	if (fd < 0)
		return fd;
	if (last.fd >= 0)
		(void)close(last.fd);
	last.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	last.uid = uid;
	last.gid = gid;
	last.job_uid = ids->job_uid;
	last.job_gid = ids->job_gid;
	return fd;
}
