#include "sandbox/cgroup.h"

#include "sandbox/cgroup_file.h"
#include "sandbox/cgroup_group.h"
#include "sandbox/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define DEFAULT_PARENT "cupel"
#define MADE_UP_NAME   "job-%lx-%d" /* process namespace, process */

/* Everybody's, on all disks and in both versions. */
#define IO_WEIGHT 100

int group_same_bytes(uint64_t wanted, uint64_t got)
{
	const uint64_t page = 65536; /* the largest that a supported machine has */

	if (wanted == got)
		return 0;
	return got > wanted || wanted - got >= page ? -ERANGE : 0;
}

bool group_host_has_swap(void)
{
	struct sysinfo info;

	return sysinfo(&info) < 0 || info.totalswap > 0;
}

int group_set_tasks(int dir, uint64_t tasks)
{
	uint64_t got = 0;
	int rc = cgroup_put_limit(dir, "pids.max", tasks, "max", &got);

	return rc < 0 ? rc : (got == (tasks ? tasks : UINT64_MAX) ? 0 : -ERANGE);
}

int group_set_weight(int dir, const char *file, uint64_t weight)
{
	char text[4096];
	int rc;

	(void)snprintf(text, sizeof(text), "%llu",
		       (unsigned long long)(weight ? weight : IO_WEIGHT));
	rc = cgroup_put_text(dir, file, text, text, sizeof(text));
	if (rc < 0)
		return rc;
	return cgroup_text_weight(text) == (weight ? weight : IO_WEIGHT) ? 0 : -ERANGE;
}

void group_drain(int dir, const char *file, const struct group_ops *ops)
{
	char text[8192];
	const char *at = cgroup_read_text(dir, file, text, sizeof(text)) > 0 ? text : NULL;
	dev_t disk;

	while (cgroup_text_next_disk(&at, &disk)) /* what stays limited is merely slow */
		(void)ops->set_io(dir, disk, &(struct io_rates){0});
}

struct group *cgroup_holder(struct cgroup *cg, unsigned controllers)
{
	for (size_t i = 0; i < cg->count; i++)
		if ((cg->group[i].controllers & controllers) == controllers)
			return &cg->group[i];
	return NULL;
}

static const struct group *v2_of(const struct cgroup *cg)
{
	return cg->count && cg->group[0].ops == &group_v2 ? &cg->group[0] : NULL;
}

const char *cgroup_name(const struct cgroup *cg)
{
	return cg->name;
}

int cgroup_birth(const struct cgroup *cg)
{
	const struct group *v2 = v2_of(cg);

	return v2 ? v2->dir : -1;
}

unsigned cgroup_holds(const struct cgroup *cg)
{
	return cg->holds;
}

int cgroup_oom_fd(const struct cgroup *cg, uint32_t *events)
{
	*events = cg->oom < 0 ? 0 : cg->oom_of->oom_events;
	return cg->oom;
}

void cgroup_oom_heard(struct cgroup *cg)
{
	if (cg->oom >= 0)
		cg->oom_of->oom_heard(cg->oom);
}

static const char *parent_of(const char *wanted)
{
	return wanted ? wanted : DEFAULT_PARENT;
}

/* `parent` is a path of one or more names below `dir`. */
static int open_parent(int dir, const char *parent)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s", parent) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	for (char *at = path; at;) {
		at = strchr(at, '/');
		if (at)
			*at = '\0';
		if (mkdirat(dir, path, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (at)
			*at++ = '/';
	}
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* v2: the controllers must be passed down level by level. Read back by the limits. */
static void pass_down(int dir, unsigned controllers)
{
	for (unsigned bit = 1; bit <= CONTROLLER_CPUSET; bit <<= 1) {
		char text[32];

		(void)snprintf(text, sizeof(text), "+%s", places_controller_name(bit));
		if (controllers & bit)
			(void)cgroup_write_text(dir, "cgroup.subtree_control", text);
	}
}

/* v1: nobody can enter a cpuset without processors and memory, and a new one has none. */
static void fill_cpuset(int dir, unsigned controllers)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	char text[4096], above[32];

	for (size_t i = 0; i < 2 && (controllers & CONTROLLER_CPUSET); i++) {
		(void)snprintf(above, sizeof(above), "../%s", files[i]);
		if (cgroup_read_text(dir, files[i], text, sizeof(text)) == 1 &&
		    cgroup_read_text(dir, above, text, sizeof(text)) > 0)
			(void)cgroup_write_text(dir, files[i], text);
	}
}

/* `visit` on each directory of the path `parent` below `dir`, from above. */
static void each_level(int dir, const char *parent, void (*visit)(int dir, unsigned controllers),
		       unsigned controllers)
{
	char path[PATH_MAX];
	size_t used = 0;

	for (bool more = true; more;) {
		owned_fd fd = -1;

		used += strcspn(parent + used, "/");
		more = parent[used] == '/';
		(void)snprintf(path, sizeof(path), "%.*s", (int)used, parent);
		fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			visit(fd, controllers);
		used += more;
	}
}

/* Those of the controllers that this v2 group wasn't given. */
static unsigned lacking(int dir, unsigned controllers)
{
	static const struct {
		unsigned controller;
		const char *file;
	} files[] = {{CONTROLLER_MEMORY, "memory.max"},
		     {CONTROLLER_IO, "io.max"},
		     {CONTROLLER_CPUSET, "cpuset.cpus"}};
	unsigned missing = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if ((controllers & files[i].controller) &&
		    faccessat(dir, files[i].file, F_OK, 0) < 0)
			missing |= files[i].controller;
	return missing;
}

static void furnish(const struct place *place, const char *parent, unsigned want, struct group *g)
{
	if (!place->v2 && (g->controllers & CONTROLLER_CPUSET)) {
		each_level(place->dir, parent, fill_cpuset, CONTROLLER_CPUSET);
		fill_cpuset(g->dir, CONTROLLER_CPUSET);
	}
	if (!place->v2 || !lacking(g->dir, g->controllers & want))
		return;
	pass_down(place->dir, g->controllers & CONTROLLER_CPUSET);
	each_level(place->dir, parent, pass_down, g->controllers);
	g->controllers &= ~lacking(g->dir, g->controllers);
}

static int make_directory(int parent, const char *name)
{
	int fd, rc;

	if (mkdirat(parent, name, 0755) < 0) {
		/* An empty one of that name was left by a caller who died. */
		if (errno != EEXIST || unlinkat(parent, name, AT_REMOVEDIR) < 0 ||
		    mkdirat(parent, name, 0755) < 0)
			return errno == EBUSY ? -EEXIST : -errno;
	}
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	rc = -errno;
	(void)unlinkat(parent, name, AT_REMOVEDIR);
	return rc;
}

/* A user's job that can mount his groups makes none below its own: they would stay behind. v1 can't
 * be told so. */
static int seal(const struct place *place, int dir)
{
	return place->v2 && geteuid() != 0 ? cgroup_write_text(dir, "cgroup.max.descendants", "0")
					   : 0;
}

static int group_make(const struct place *place, const char *parent, const char *name,
		      unsigned want, struct group *out)
{
	int rc;
	struct group g = {.ops = place->v2 ? &group_v2 : &group_v1,
			  .dir = -1,
			  .controllers = place->controllers};

	if (place->v2 && !(want & CONTROLLER_CPUSET))
		g.controllers &= ~(unsigned)CONTROLLER_CPUSET;

	g.parent = open_parent(place->dir, parent);
	if (g.parent < 0)
		return g.parent;
	g.dir = make_directory(g.parent, name);
	rc = g.dir < 0 ? g.dir : seal(place, g.dir);
	if (rc < 0) {
		if (g.dir >= 0) {
			(void)unlinkat(g.parent, name, AT_REMOVEDIR);
			(void)close(g.dir);
		}
		(void)close(g.parent);
		return rc;
	}
	furnish(place, parent, want, &g);
	*out = g;
	return 0;
}

static int make_groups(struct cgroup *cg, const struct sandbox_spec *spec, struct error *err)
{
	const struct places *places = places_get();
	unsigned want = cgroup_wanted(&spec->limits), have = 0;

	cg->wanted = want;
	for (int pass = 0; pass < 2; pass++) { /* v2 first */
		for (size_t i = 0; i < places->count; i++) {
			const struct place *place = &places->place[i];
			int rc;

			if (place->v2 == (pass == 1) || place->dir < 0)
				continue;
			if (pass == 1 && v2_of(cg) == NULL)
				want |= CONTROLLER_CPUACCT | CONTROLLER_FREEZER;
			if (pass == 1 && !(place->controllers & want & ~have))
				continue;
			rc = group_make(place, cg->parent, cg->name, want, &cg->group[cg->count]);
			if (rc == -EEXIST)
				return error_say(
					err, EEXIST,
					"a control group '%s' is there already, with processes "
					"in it; choose another name for the job",
					cg->name);
			if (rc == -ENOTDIR)
				return error_say(err, EINVAL,
						 "'%s' is a file that control groups have; choose "
						 "another name for the job",
						 cg->name);
			if (rc < 0)
				cg->failed = -rc;
			else
				have |= cg->group[cg->count++].controllers;
		}
	}
	return 0;
}

/* Process numbers mean something in it only. */
static unsigned long pid_namespace(void)
{
	struct stat st = {0};

	(void)stat("/proc/self/ns/pid", &st);
	return (unsigned long)st.st_ino;
}

/* The empty groups of callers who were killed, by the names that this library makes up. */
static void sweep(const struct sandbox_spec *spec)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++) {
		const char *parent = parent_of(spec->cgroup_parent);
		int fd = places->place[i].dir < 0 ? -1
						  : openat(places->place[i].dir, parent,
							   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		const struct dirent *entry;
		unsigned long space;
		int pid;

		while (dir && (entry = readdir(dir)))
			if (sscanf(entry->d_name, MADE_UP_NAME, &space, &pid) == 2 &&
			    space == pid_namespace() && pid > 0 && kill(pid, 0) < 0 &&
			    errno == ESRCH)
				(void)unlinkat(fd, entry->d_name,
					       AT_REMOVEDIR); /* refused while in use */
		if (dir)
			(void)closedir(dir);
	}
}

int cgroup_make(const struct plan *plan, struct cgroup **out, struct error *err)
{
	static unsigned made;
	const struct sandbox_spec *spec = plan->spec;
	owned(cgroup) *cg = calloc(1, sizeof(*cg));
	char name[64];
	int rc = 0;

	if (made == 0)
		sweep(spec);
	(void)snprintf(name, sizeof(name), MADE_UP_NAME "-%u", pid_namespace(), (int)getpid(),
		       made++);
	if (cg)
		cg->oom = -1;
	if (!cg || !(cg->name = strdup(spec->name ? spec->name : name)) ||
	    !(cg->parent = strdup(parent_of(spec->cgroup_parent))))
		return error_set(err, ENOMEM, "control groups");
	if (cgroup_names_disks(&spec->limits))
		rc = disks_find(plan, &cg->disks, err);
	if (rc == 0)
		rc = make_groups(cg, spec, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < cg->count; i++)
		cg->holds |= cgroup_can_of(cg->group[i].controllers, cg->group[i].ops == &group_v2);
	*out = give(cg);
	return 0;
}

/* Root's groups aren't open to a job, who is never root. */
bool cgroup_is_open_to_its_user(void)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count && geteuid() != 0; i++)
		if (places->place[i].dir >= 0 && !places->place[i].nsdelegate)
			return true;
	return false;
}

int cgroup_new(const struct plan *plan, struct cgroup **out, struct error *err)
{
	owned(cgroup) *cg = NULL;
	int rc = cgroup_make(plan, &cg, err);

	if (rc < 0 || !cg)
		return rc;
	rc = cgroup_prepare(cg, &plan->spec->limits, err);
	if (rc == 0)
		*out = give(cg);
	return rc;
}

bool cgroup_names_disks(const struct sandbox_limits *limits)
{
	return cgroup_wanted(limits) & CONTROLLER_IO;
}

void cgroup_open_ahead(struct cgroup *cg)
{
	for (size_t i = 0; i < cg->count; i++)
		group_open_ahead(&cg->group[i]);
}

bool cgroup_stands(const struct cgroup *cg)
{
	bool stands = true;
	struct stat st;

	for (size_t i = 0; i < cg->count && stands; i++) /* nobody else gives that name */
		stands = fstatat(cg->group[i].parent, cg->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return stands;
}

bool cgroup_serves(const struct cgroup *cg, const char *parent, const struct sandbox_limits *limits)
{
	return strcmp(cg->parent, parent_of(parent)) == 0 && !cgroup_names_disks(limits) &&
	       !(cgroup_wanted(limits) & ~cg->wanted);
}

int cgroup_vanish(struct cgroup *cg)
{
	int rc = 0;

	for (size_t i = cg->count; i-- > 0;) {
		struct group *g = &cg->group[i];

		if (g->parent < 0)
			continue;
		/* What is open now would stay in the kernel's caches until memory is short. */
		group_close_ahead(g);
		if (unlinkat(g->parent, cg->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
			rc = -errno;
			continue;
		}
		(void)close(g->parent); /* whoever has that name from now on is another one */
		g->parent = -1;
	}
	return rc;
}

void cgroup_forget(struct cgroup *cg)
{
	if (!cg)
		return;
	for (size_t i = 0; i < cg->count; i++) {
		group_close_ahead(&cg->group[i]);
		(void)close(cg->group[i].dir);
		if (cg->group[i].parent >= 0)
			(void)close(cg->group[i].parent);
	}
	if (cg->oom >= 0)
		(void)close(cg->oom);
	free(cg->name);
	free(cg->parent);
	free(cg);
}

void cgroup_free(struct cgroup *cg)
{
	if (!cg)
		return;
	if (cgroup_populated(cg) != 0)
		cgroup_kill(cg);
	(void)cgroup_vanish(cg); /* what stays is found by its name later: cgroup_remove() */
	cgroup_forget(cg);
}

int cgroup_doors(const struct cgroup *cg, int *out, size_t *count, struct error *err)
{
	*count = 0;
	for (size_t i = 0; i < cg->count; i++) {
		int fd;

		if (cg->group[i].ops == &group_v2)
			continue;
		fd = openat(cg->group[i].dir, "tasks", O_WRONLY | O_CLOEXEC);
		if (fd < 0) {
			int code = errno;

			while (*count > 0)
				(void)close(out[--*count]);
			return error_set(err, code, "open the job's control group");
		}
		out[(*count)++] = fd;
	}
	return 0;
}

int cgroup_enter(struct cgroup *cg, pid_t pid, struct error *err)
{
	const struct group *v2 = v2_of(cg);
	int rc = v2 ? cgroup_write_number(v2->dir, "cgroup.procs", (uint64_t)pid) : 0;

	return rc < 0 ? error_set(err, -rc, "put the job into its control group") : 0;
}

int cgroup_freeze(struct cgroup *cg, bool frozen, struct error *err)
{
	const struct group *g = v2_of(cg) ? v2_of(cg) : cgroup_holder(cg, CONTROLLER_FREEZER);
	int rc = g ? g->ops->freeze(g->dir, frozen) : -EOPNOTSUPP;

	if (rc < 0)
		return error_set(err, -rc, "%s the job", frozen ? "freeze" : "thaw");
	return 0;
}

void cgroup_kill(struct cgroup *cg)
{
	const struct group *freezer = cgroup_holder(cg, CONTROLLER_FREEZER);

	for (size_t i = 0; i < cg->count; i++)
		cg->group[i].ops->kill(cg->group[i].dir);
	cgroup_drain(cg);
	if (freezer && freezer->ops == &group_v1) /* there the frozen don't die */
		(void)freezer->ops->freeze(freezer->dir, false);
}

int cgroup_populated(const struct cgroup *cg)
{
	const struct group *v2 = v2_of(cg);
	int unknown = 0;

	if (v2) /* whoever is in another one is in this one, too */
		return v2->ops->populated(v2);
	for (size_t i = 0; i < cg->count; i++) {
		int rc = cg->group[i].ops->populated(&cg->group[i]);

		if (rc > 0)
			return rc;
		if (rc < 0)
			unknown = rc;
	}
	return unknown;
}

/* What is gone, or not counted by this kernel, is none. */
int cgroup_counts(const struct cgroup *cg, struct cgroup_counts *out)
{
	struct cgroup_counts counts = {0};

	for (size_t i = 0; i < cg->count; i++) {
		int rc = cg->group[i].ops->counts(&cg->group[i], cg->held.memory, &counts);

		if (rc < 0 && !group_is_gone(rc))
			return rc;
	}
	*out = counts;
	return 0;
}

void cgroup_usage(const struct cgroup *cg, struct sandbox_usage *out)
{
	for (size_t i = 0; i < cg->count; i++)
		cg->group[i].ops->usage(&cg->group[i], out);
}

int cgroup_cpu_us(const struct cgroup *cg, uint64_t *out)
{
	int rc = -ENOENT;

	for (size_t i = 0; i < cg->count && rc == -ENOENT; i++) /* it doesn't measure that */
		rc = cg->group[i].ops->cpu_us(&cg->group[i], out);
	return rc;
}

/* Its parent comes in *above. -1: it isn't there. */
static int open_left(const struct place *place, const char *parent, const char *name, int *above)
{
	*above = place->dir < 0 ? -1
				: openat(place->dir, parent_of(parent),
					 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *above < 0 ? -1
			  : openat(*above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* In all hierarchies before any is waited for: who waits for a disk dies only when it is drained.
 */
static void kill_left(const char *parent, const char *name)
{
	const struct places *places = places_get();

	for (size_t i = 0; i < places->count; i++) {
		const struct group_ops *ops = places->place[i].v2 ? &group_v2 : &group_v1;
		owned_fd above = -1, dir = -1;

		dir = open_left(&places->place[i], parent, name, &above);
		if (dir < 0)
			continue;
		ops->kill(dir);
		ops->drain(dir);
	}
}

int cgroup_remove(const char *parent, const char *name, struct error *err)
{
	const struct places *places = places_get();
	int rc = 0;

	kill_left(parent, name);
	for (size_t i = 0; i < places->count; i++) {
		const struct group_ops *ops = places->place[i].v2 ? &group_v2 : &group_v1;
		struct group left = {.ops = ops};
		owned_fd above = -1, dir = -1;

		dir = open_left(&places->place[i], parent, name, &above);
		if (dir < 0)
			continue;
		left.dir = dir;
		for (int tries = 0; ops->populated(&left) != 0 && tries < 1000; tries++) {
			ops->kill(dir);
			(void)poll(NULL, 0, 5); /* v1 tells nobody when it has become empty */
		}
		if (unlinkat(above, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			rc = error_set(err, errno, "remove the control group %s", name);
	}
	return rc;
}
