/* source.h - a directory or file of the host that shall stand inside, held so that nobody can put
 * another one in its place.
 *
 * Root opens it as a detached mount, idmapped where needed, and hands that to the child. A user
 * has no right to: the child makes the mount in its own namespace by the same path, and both ends
 * compare device and inode. */
#pragma once

#include "base/error.h"
#include "sandbox/ids.h"

#include <sys/stat.h>

struct source {
	int fd; /* -1: none. Detached mount, or O_PATH of the thing */
	bool detached;
	bool directory, writable;
	bool alone;         /* without what is mounted below it */
	bool lands_as_root; /* files made there belong to root on disk */
	char *path;         /* owned; where the child finds it */
	const char *target; /* absolute, inside; borrowed */
	dev_t device;
	ino_t inode;
};

#define SOURCE_NONE ((struct source){.fd = -1})

/* The worktree of `spec`; SOURCE_NONE when it has none. */
int source_worktree(const struct sandbox_spec *spec, const struct ids *ids, struct source *out,
		    struct error *err);
int source_bind(const struct sandbox_bind *bind, const struct ids *ids, struct source *out,
		struct error *err);
int source_root(const char *path, const struct ids *ids, struct source *out, struct error *err);
void source_done(struct source *s);

/* In the child, while the host's tree is still there: makes it a detached mount if it isn't. 0 or
 * -errno; -ESTALE: another thing stands at that path now. */
int source_detach(struct source *s);

/* A detached copy of what `path` below `dir` is, private, nosuid and nodev; devices keep being
 * devices. */
enum source_flags { SOURCE_READONLY = 1, SOURCE_DEVICE = 2, SOURCE_ALONE = 4 /* no submounts */ };
int source_mount(int dir, const char *path, unsigned flags);
