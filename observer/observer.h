/* observer.h - watches repositories and tells a dispatcher what is new in them. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "observer/options.h"

#include <event2/event.h>

struct observer;

struct observer_hooks {
	/* All repositories have been looked at, or some take too long to wait for. NULL is fine. */
	void (*ready)(void *context);
	/* The dispatcher refuses this observer for good. */
	void (*refused)(void *context, const char *reason);
	void *context;
	uint64_t retry_max_ms; /* of the back-off; 0: the default */
};

/* Takes the state directory, and looks at all repositories on this box. `options` is borrowed. One
 * sentence for each thing that can be wrong, with its remedy. */
int observer_new(struct event_base *base, const struct options *options,
		 const struct observer_hooks *hooks, struct observer **out, struct error *err);
void observer_free(struct observer *o);
OWNED(observer)

/* Events on their way, and directories in watch: for tests and messages. */
size_t observer_waiting(const struct observer *o);
size_t observer_directories(const struct observer *o);
