/* step.h - the numbered steps of setting a sandbox up, so that a failure says where and what to do.
 */
#pragma once

enum step {
	STEP_NONE,
	STEP_CLONE,    /* the namespaces */
	STEP_IDMAP,    /* uid_map, gid_map */
	STEP_ATTACH,   /* into the cgroups */
	STEP_GO,       /* the parent's word */
	STEP_ORDER,    /* the plan, for whom was born before it */
	STEP_IDENTITY, /* root of the user namespace */
	STEP_BOUNDING, /* no way back to capabilities by an exec */
	STEP_PRIVATE,  /* no mount event in or out */
	STEP_SOURCES,  /* directories of the host that stand inside */
	STEP_ROOT,     /* the new root's tmpfs */
	STEP_SKELETON, /* its directories and links */
	STEP_SYSTEM,   /* /usr, or the root of the owner's choice */
	STEP_ETC,
	STEP_DEVICES,
	STEP_PTS,
	STEP_QUEUES, /* /dev/mqueue */
	STEP_PROC,
	STEP_PROC_MASK,
	STEP_PRIVATE_DIRS, /* /tmp, /var/tmp, /dev/shm, home */
	STEP_SIZE,         /* of the private directories, made before the limits were known */
	STEP_WORKTREE,
	STEP_BINDS,
	STEP_PIVOT,
	STEP_READONLY,
	STEP_RULES, /* of Landlock, as far as they are everybody's */
	STEP_NETWORK,
	STEP_HOSTNAME,
	STEP_CGROUP_NAMESPACE,
	STEP_TITLE, /* nothing of the caller's command line */
	STEP_FORK,
	STEP_USER, /* the job's uid */
	STEP_CAPS,
	STEP_SECCOMP,
	STEP_STDIO,
	STEP_WORKDIR,
	STEP_LANDLOCK,
	STEP_LISTENER, /* of the filter, to the caller: who can't take it has no program run */
	STEP_LIMITS,   /* rlimits */
	STEP_EXEC,
	STEP_COUNT,
};

/* "mount /proc"; never NULL. */
const char *step_name(enum step step);

/* What a person can do when that step fails with `code`; NULL when nothing general can be said. */
const char *step_remedy(enum step step, int code);

/* The same about a lack of descriptors, which the caller's own steps may meet anywhere. */
const char *step_shortage(int code);
