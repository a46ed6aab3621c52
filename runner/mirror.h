/* mirror.h - where the objects of a repository are on this box.
 *
 * A repository on the box is read in place. Of one elsewhere there is a bare mirror, fetched when
 * it lacks what is asked for; processes take turns by a lock file. */
#pragma once

#include "runner/git.h"

struct mirror_spec {
	const char *mirrors; /* directory, made already */
	const char *
		repository; /* absolute path, file://, http(s)://, git://, ssh://, user@host:path */
	const char *revision;
	const char *const *allowed;  /* as in allowed.h; NULL, or without entries: any */
	bool (*stop)(void *context); /* asked while waiting; NULL is fine */
	void *context;
	uint64_t disk_least; /* free bytes that a fetch leaves on the mirrors' disk */
};

/* Opens it and finds the commit. `copied`: it is a mirror, and what is wrong with it may not be
 * wrong elsewhere. -EINVAL: no kind of repository that is taken; -EPERM: the owner doesn't allow
 * it; -ECANCELED: `stop` said so; -ENOSPC: it would leave less than `disk_least`. */
int mirror_open(const struct mirror_spec *spec, struct git **out, struct git_commit *commit,
		bool *copied, struct error *err);

/* Removes the mirror, which was found to be damaged; the next one who needs it clones it anew. */
void mirror_forget(const struct mirror_spec *spec);
