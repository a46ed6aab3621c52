/* guise.h - making a job's user namespace in the name of an id that is nobody's.
 *
 * Whoever makes one owns it, and what its processes hold beyond memory and processor (inotify
 * instances, queued signals, bytes in message queues, locked memory) counts as his, too, up to his
 * own limits (user_namespaces(7); kernel/ucount.c). As root's a job would use up what the host's
 * own services need: there are 128 inotify instances for each user. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define GUISE_NONE ((uid_t)-1)

/* For a process that does nothing else: what guise_wear() needs is had from now on, and nothing is
 * kept of what the kernel takes. */
void guise_settle(void);

struct guise {
	bool worn;
	int securebits, dumpable, death_signal;
	pid_t parent;
};

/* This thread, root's, has `uid` for its effective id from now on, and all its capabilities.
 * GUISE_NONE, another user, or a host that lets nobody keep capabilities so: nothing changes. */
void guise_wear(uid_t uid, struct guise *out);

/* Root again, and what the kernel takes from whoever changes his id is as it was. Keeps errno. */
void guise_drop(const struct guise *g);
