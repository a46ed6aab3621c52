/* What this host offers, found by trying it. */
#include "base/units.h"
#include "sandbox/cgroup.h"
#include "sandbox/filter.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/step.h"
#include "sandbox/turn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct checker {
	void (*line)(void *context, bool ok, const char *what, const char *remedy);
	void *context;
	int missing;
};

static void tell(struct checker *c, bool ok, bool needed, const char *what, const char *remedy)
{
	c->line(c->context, ok, what, ok ? NULL : remedy);
	c->missing += !ok && needed;
}

/* The proof of the walls is a job behind them. */
static void check_walls(struct checker *c)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct sandbox_spec spec = {.argv = argv, .limits = {.wall_ms = 20000}};
	struct sandbox_outcome outcome;

	(void)sandbox_run(&spec, &outcome, NULL); /* the outcome tells */
	tell(c, outcome.verdict == SANDBOX_PASSED, true,
	     "a sandbox with all namespaces, its own root, no capability and a system call filter",
	     outcome.reason);
}

static void check_ids(struct checker *c)
{
	struct sandbox_spec spec = {0};
	struct ids ids;
	struct error err = {0};
	int rc;

	turn_take();
	rc = ids_choose(&spec, &ids, &err);
	turn_end();
	tell(c, rc == 0, true, "host ids for the job's user", err.text);
	if (rc == 0 && !ids.privileged)
		tell(c, ids.helpers, false, "a range of ids of its own, by newuidmap",
		     "install uidmap and give this user lines in /etc/subuid and /etc/subgid "
		     "(usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER); "
		     "without it a job has one id only");
}

static void check_limits(struct checker *c)
{
	static const struct {
		unsigned bit;
		const char *what;
	} limits[] = {
		{SANDBOX_CAN_MEMORY, "limit of memory"},
		{SANDBOX_CAN_TASKS, "limit of tasks"},
		{SANDBOX_CAN_CPU, "limit of processors, and cpu weight"},
		{SANDBOX_CAN_CPU_TIME, "limit of processor time"},
		{SANDBOX_CAN_IO_READ, "limit of io read, for places on a disk of their own"},
		{SANDBOX_CAN_IO, "limit of io written, for places on ext4, xfs or f2fs"},
		{SANDBOX_CAN_CPUSET, "cpuset"},
		{SANDBOX_CAN_FREEZE, "freezing a job"},
	};
	char remedy[400];
	unsigned can = sandbox_can();

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		cgroup_remedy(limits[i].bit, remedy, sizeof(remedy));
		tell(c, can & limits[i].bit, false, limits[i].what, remedy);
	}
}

/* What depends on where the job writes: tried on the current directory. */
static void check_disk(struct checker *c, const struct source *here)
{
	struct statvfs fs;
	char what[160], size[24];

	if (fstatvfs(here->fd, &fs) < 0)
		return;
	units_format_size((uint64_t)fs.f_blocks * fs.f_frsize, size, sizeof(size));
	(void)snprintf(what, sizeof(what),
		       "limit of disk from %s on, for a worktree here: what its file system has",
		       size);
	tell(c, true, false, what, NULL);
}

static void check_io_weight(struct checker *c, const struct source *here)
{
	const struct sandbox_spec spec = {.limits = {.io_weight = 200}};
	const struct plan plan = {.spec = &spec, .worktree = *here, .system = SOURCE_NONE};
	struct cgroup *cg = NULL;
	struct error err = {0};
	int rc;

	turn_take();
	rc = cgroup_new(&plan, &cg, &err);
	turn_end();
	tell(c, rc == 0, false, "io weight, for a worktree here", err.text);
	cgroup_free(cg);
}

static void check_here(struct checker *c)
{
	const struct sandbox_spec spec = {.worktree_open = true,
					  .worktree_fd = open(".", O_PATH | O_CLOEXEC)};
	struct ids ids = {0}; /* a user's: it is looked at only */
	struct source here = SOURCE_NONE;

	if (source_worktree(&spec, &ids, &here, NULL) == 0) { /* else no job runs here anyway */
		check_disk(c, &here);
		check_io_weight(c, &here);
	}
	source_done(&here);
	if (spec.worktree_fd >= 0)
		(void)close(spec.worktree_fd);
}

static void check_filter(struct checker *c)
{
	const struct filter *filter;
	struct error err = {0};
	int rc;

	turn_take();
	rc = filter_get(SANDBOX_CI, FILTER_SETID, &filter, &err);
	turn_end();
	tell(c, rc == 0, true, "the system call filter", err.text);
}

int sandbox_check(void (*line)(void *context, bool ok, const char *what, const char *remedy),
		  void *context)
{
	struct checker c = {.line = line, .context = context};
	char what[64];

	check_walls(&c);
	check_ids(&c);
	check_filter(&c);
	(void)snprintf(what, sizeof(what), "Landlock, version %d", landlock_version());
	tell(&c, landlock_version() > 0, false, landlock_version() ? what : "Landlock",
	     "a second wall only; boot with lsm=landlock,...");
	check_limits(&c);
	tell(&c, true, false, "limit of disk and inodes, for private directories", NULL);
	check_here(&c);
	return c.missing;
}
