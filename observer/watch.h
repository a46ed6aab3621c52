/* watch.h - tells when the refs of a repository may have changed, by inotify(7).
 *
 * An event says "look again" and nothing more: refs come as lock files that are renamed, packing
 * deletes loose refs that live on, directories of nested branches come and go. What can't be
 * watched (limits of the box) is found by the poll instead. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <event2/event.h>
#include <stddef.h>

struct watch;

struct watch_callbacks {
	/* Something happened in the directories of `owner`. */
	void (*changed)(void *context, void *owner);
	/* The kernel's queue ran over: anything may have changed anywhere. */
	void (*overflow)(void *context);
};

/* -EMFILE: this user has too many inotify instances; -ENOSYS: the kernel has none. */
int watch_new(struct event_base *base, const struct watch_callbacks *callbacks, void *context,
	      struct watch **out, struct error *err);
void watch_free(struct watch *w);
OWNED(watch)

/* Watches the repository directory `path` and all directories below it that may hold refs of
 * `globs`; what is watched already stays so. `globs` is borrowed until watch_drop(). -ENOSPC: the
 * limit of watches is reached, some directories aren't watched; other errors: the directories can't
 * be read. */
int watch_cover(struct watch *w, void *owner, const char *path, const char *const *globs,
		struct error *err);
void watch_drop(struct watch *w, void *owner);

/* Directories in watch. */
size_t watch_count(const struct watch *w);
