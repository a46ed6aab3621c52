#include "sandbox/template.h"

#include "sandbox/aside.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"

#include <sched.h>
#include <sys/stat.h>

/* What differs from job to job must be mounted over the template, not written into it. */
bool template_serves(const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return plan->system.fd < 0 && !spec->bind_count && !spec->hostname &&
	       spec->network == SANDBOX_NETWORK_NONE;
}

static int build_detached(struct plan *plan)
{
	static int (*const steps[])(struct plan * plan) = {root_tmpfs, root_skeleton, root_system,
							   root_etc, root_devices};
	struct mount_attr readonly = {.attr_set = MOUNT_ATTR_RDONLY};
	int rc = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++)
		rc = steps[i](plan);
	if (rc == 0 &&
	    mount_setattr(plan->root, "", AT_EMPTY_PATH, &readonly, sizeof(readonly)) < 0)
		rc = -errno;
	return rc;
}

struct building {
	struct plan plan;
	int rc;
};

/* Runs beside the caller's threads, whose mask of modes stays as it is. */
static int build(void *argument)
{
	struct building *b = argument;

	(void)umask(0); /* the modes of what is made are meant */
	b->rc = build_detached(&b->plan);
	return 0;
}

/* The process's own; -1 where it can't be made. */
static int make(const struct plan *plan)
{
	struct building b = {
		.plan = {.spec = plan->spec, .ids = plan->ids, .root = -1, .system = SOURCE_NONE},
		.rc = -EIO};
	int rc = aside(CLONE_FILES, build, &b);

	if (rc == 0 && b.rc == 0)
		return b.plan.root;
	if (b.plan.root >= 0)
		(void)close(b.plan.root);
	return -1;
}

struct template_stamp template_stamp(void)
{
	struct stat st = {0};

	(void)stat("/etc/ld.so.cache", &st); /* replaced at each change of the libraries */
	return (struct template_stamp){st.st_dev, st.st_ino};
}

bool template_is(struct template_stamp stamp)
{
	struct template_stamp now = template_stamp();

	return now.device == stamp.device && now.inode == stamp.inode;
}

void template_use(struct plan *plan)
{
	static struct template_stamp made;
	static int template = -1;

	if (!plan->ids.privileged || !template_serves(plan))
		return;
	if (!template_is(made)) {
		made = template_stamp();
		if (template >= 0)
			(void)close(template);
		template = make(plan);
	}
	if (template >= 0)
		plan->root = open_tree(template, "",
				       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
					       AT_RECURSIVE);
	plan->templated = plan->root >= 0;
}
