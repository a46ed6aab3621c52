#include "sandbox/plan.h"

#include "base/fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/surroundings.h"
#include "sandbox/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* An inode of a tmpfs costs about a kilobyte of the kernel's memory. */
#define BYTES_PER_INODE    1024
#define PRIVATE_INODES_MIN 1024

static const char *const standard[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	("HOME=/home/" SANDBOX_USER),
	("USER=" SANDBOX_USER),
	("LOGNAME=" SANDBOX_USER),
	"SHELL=/bin/sh",
	"TMPDIR=/tmp",
	"LANG=C.UTF-8",
};

#define STANDARD (sizeof(standard) / sizeof(standard[0]))

/* Where a variable of that name stands in the first `count`, or `count`. */
static size_t find(char *const *env, size_t count, const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1;

	for (size_t i = 0; i < count; i++)
		if (strncmp(env[i], assignment, name) == 0)
			return i;
	return count;
}

static char **make_environment(const char *const *wanted)
{
	size_t count = STANDARD, more = 0;
	char **env;

	while (wanted && wanted[more])
		more++;
	env = calloc(STANDARD + more + 1, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < STANDARD; i++)
		env[i] = (char *)standard[i]; /* never written to */
	for (size_t i = 0; i < more; i++) {
		size_t at = find(env, count, wanted[i]);

		env[at] = (char *)wanted[i];
		count += at == count;
	}
	return env;
}

static uint64_t half_of_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) < 0 ? (uint64_t)256 << 20
				  : (uint64_t)info.totalram * info.mem_unit / 2;
}

/* tmpfs pages are memory: what the job may hold in memory is all that it can write there. */
static void size_private(const struct sandbox_limits *limits, struct plan *plan)
{
	uint64_t bytes = limits->disk;

	if (!bytes)
		bytes = limits->memory ? limits->memory : half_of_memory();
	plan->private_bytes = bytes;
	plan->private_inodes = limits->inodes ? limits->inodes : bytes / BYTES_PER_INODE;
	if (plan->private_inodes < PRIVATE_INODES_MIN && !limits->inodes)
		plan->private_inodes = PRIVATE_INODES_MIN;
}

/* Where the worktree can't be mapped to the job's user, the job's user is made its owner. */
static int adopt_owner(const struct sandbox_spec *spec, struct plan *plan)
{
	struct stat st;

	if (spec->id_count ||
	    (spec->worktree_open ? fstat(spec->worktree_fd, &st) : lstat(spec->worktree, &st)) < 0)
		return -EPERM;
	return ids_adopt(&plan->ids, st.st_uid, st.st_gid);
}

static int open_sources(const struct sandbox_spec *spec, struct plan *plan, struct error *err)
{
	int rc = source_worktree(spec, &plan->ids, &plan->worktree, err);

	if (rc == -EOPNOTSUPP && adopt_owner(spec, plan) == 0)
		rc = source_worktree(spec, &plan->ids, &plan->worktree, err);

	if (rc == 0 && spec->root)
		rc = source_root(spec->root, &plan->ids, &plan->system, err);
	if (rc < 0 || !spec->bind_count)
		return rc;
	plan->binds = calloc(spec->bind_count, sizeof(*plan->binds));
	if (!plan->binds)
		return error_set(err, ENOMEM, "plan the binds");
	for (size_t i = 0; i < spec->bind_count && rc == 0; i++) {
		rc = source_bind(&spec->binds[i], &plan->ids, &plan->binds[i], err);
		plan->bind_count += rc == 0;
	}
	return rc;
}

static bool any_lands_as_root(const struct plan *plan)
{
	bool any = plan->worktree.lands_as_root;

	for (size_t i = 0; i < plan->bind_count; i++)
		any = any || plan->binds[i].lands_as_root;
	return any;
}

static unsigned to_deny(const struct plan *plan)
{
	return (any_lands_as_root(plan) ? FILTER_SETID : 0) |
	       (cgroup_is_open_to_its_user() ? FILTER_CGROUPS : 0) |
	       (plan->ids.has_root ? 0 : FILTER_FIRST);
}

/* Where this process's arguments stand in its memory, from /proc/self/stat; once. */
int plan_find_title(struct plan *plan)
{
	static unsigned long start, end;
	static bool known;

	if (!known) {
		owned_buffer text = {0};
		int rc = fd_read_file(AT_FDCWD, "/proc/self/stat", 4096, &text);
		const char *at = rc == 0 && text.data ? strrchr(text.data, ')') : NULL;

		if (rc < 0)
			return rc;
		known = true;
		for (int field = 2; at && field < 48; field++)
			at = strchr(at + 1, ' ');
		if (!at || sscanf(at, " %lu %lu", &start, &end) != 2)
			start = end = 0;
	}
	if (start && end > start) {
		plan->title = (char *)start;
		plan->title_length = end - start;
	}
	return 0;
}

int plan_make(const struct sandbox_spec *spec, struct plan *plan, struct error *err)
{
	int rc;

	*plan = (struct plan){.spec = spec,
			      .argv = (const char **)spec->argv,
			      .workdir = spec->workdir,
			      .control = -1,
			      .go = -1,
			      .input = -1,
			      .output = -1,
			      .error = -1,
			      .landlock = -1,
			      .listener = -1,
			      .root = -1,
			      .store = -1,
			      .worktree = SOURCE_NONE,
			      .system = SOURCE_NONE};
	processors_get(&plan->processors);
	rc = surroundings_check(err);
	if (rc == 0)
		rc = ids_choose(spec, &plan->ids, err);
	if (rc == 0)
		rc = open_sources(spec, plan, err);
	if (rc == 0) {
		plan->deny = to_deny(plan);
		rc = filter_get(spec->profile, plan->deny, &plan->filter, err);
	}
	if (rc == 0) {
		rc = plan_find_title(plan);
		if (rc < 0)
			(void)error_set(err, -rc, "read /proc/self/stat");
	}
	if (rc == 0 && !(plan->env = make_environment(spec->env)))
		rc = error_set(err, ENOMEM, "plan the environment");
	if (rc < 0 || !plan->env) {
		plan_done(plan);
		return rc;
	}
	plan->path = plan->env[find(plan->env, STANDARD, "PATH=")] + strlen("PATH=");
	size_private(&spec->limits, plan);
	if (!spec->launcher)
		template_use(plan);
	return 0;
}

void plan_done(struct plan *plan)
{
	source_done(&plan->worktree);
	source_done(&plan->system);
	if (plan->root >= 0)
		(void)close(plan->root);
	plan->root = -1;
	for (size_t i = 0; i < plan->bind_count; i++)
		source_done(&plan->binds[i]);
	free(plan->binds);
	free(plan->env);
	plan->binds = NULL;
	plan->bind_count = 0;
	plan->env = NULL;
}

int plan_fail(struct plan *plan, const char *detail)
{
	int code = errno;

	(void)snprintf(plan->failure.detail, sizeof(plan->failure.detail), "%s", detail);
	return code ? -code : -EIO; /* never what success is told by */
}
