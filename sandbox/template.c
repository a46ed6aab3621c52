#include "sandbox/template.h"

#include "sandbox/root.h"
#include "sandbox/sys.h"

#include <sys/stat.h>

/* What differs from job to job must be mounted over the template, not written into it. */
static bool is_usual(const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return plan->ids.privileged && plan->system.fd < 0 && !spec->bind_count &&
	       !spec->hostname && spec->network == SANDBOX_NETWORK_NONE;
}

static int build(struct plan *plan)
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

/* The process's own; -1 where it can't be made. */
static int make(const struct plan *plan)
{
	struct plan own = {.spec = plan->spec, .ids = plan->ids, .root = -1, .system = SOURCE_NONE};
	mode_t mask = umask(0);
	int rc = build(&own);

	(void)umask(mask);
	if (rc == 0)
		return own.root;
	if (own.root >= 0)
		(void)close(own.root);
	return -1;
}

/* The host's packages were changed since: the template would show what was there before. */
static bool is_stale(void)
{
	static dev_t device;
	static ino_t inode;
	struct stat st = {0};
	bool same;

	(void)stat("/etc/ld.so.cache", &st); /* replaced at each change of the libraries */
	same = st.st_dev == device && st.st_ino == inode;
	device = st.st_dev;
	inode = st.st_ino;
	return !same;
}

void template_use(struct plan *plan)
{
	static int template = -1;

	if (!is_usual(plan))
		return;
	if (is_stale()) {
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
