/* ids.h - which host ids stand behind the ids inside, and how the kernel is told.
 *
 * As root: a range that belongs to nobody, so that the job's user is no one on the host. As a user
 * with a line in /etc/subuid: his own id behind SANDBOX_UID, his subordinate ids behind the rest.
 * As a user without: his own id behind SANDBOX_UID and nothing else. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

#define IDS_RANGES_MAX 3

struct id_range {
	uint32_t inside, outside, count;
};

struct id_map {
	struct id_range range[IDS_RANGES_MAX];
	size_t count;
};

struct ids {
	struct id_map uids, gids;
	uid_t job_uid; /* on the host */
	gid_t job_gid;
	bool has_root;   /* id 0 inside is somebody */
	bool privileged; /* the caller is root: maps are written straight */
	bool helpers;    /* newuidmap and newgidmap write them */
};

int ids_choose(const struct sandbox_spec *spec, struct ids *out, struct error *err);

/* Puts the owner of a worktree behind the job's user instead, for where there is no idmapped mount:
 * the job's processes are then his on the host. -EPERM: never root's ids. */
int ids_adopt(struct ids *ids, uid_t uid, gid_t gid);

/* Who is to own the job's user namespace: the first of root's range, who is nobody on the host;
 * GUISE_NONE: whoever makes it. */
uid_t ids_owner(const struct ids *ids);

/* They stand behind the same ids inside. */
bool ids_same(const struct ids *a, const struct ids *b);

/* Writes both maps of process `pid`. */
int ids_write(const struct ids *ids, pid_t pid, struct error *err);

/* A user namespace, as a descriptor, for an idmapped mount on which `uid`:`gid` on disk look as the
 * job's user, and nobody else is known. Needs root. */
int ids_mount_namespace(const struct ids *ids, uid_t uid, gid_t gid, struct error *err);

/* The line of `text` (the content of /etc/subuid) for `name` or `uid`, of at least `least` ids.
 * Pure. False: there is none. */
bool ids_find_subordinate(const char *text, const char *name, uid_t uid, uint32_t least,
			  struct id_range *out);
