/* daemon.h - a program that `cupel up` has started: its readiness, its last words, its end, and its
 * new start. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct daemon;

struct daemon_callbacks {
	/* It said that it is ready. */
	void (*ready)(void *context, struct daemon *d);
	/* It has ended: `started` when it had been ready, `how` in words with its last lines. */
	void (*ended)(void *context, struct daemon *d, bool started, const char *how);
	/* It printed a line that an operator should see. */
	void (*said)(void *context, struct daemon *d, const char *line);
};

/* `argv` ends with NULL and is borrowed, as `name` is; --ready-fd is added to it. */
struct daemon_options {
	const char *name;
	char *const *argv;
	bool verbose; /* every line is worth seeing */
	int orphaned; /* the signal that it gets when we die: it goes, too */
};

int daemon_new(struct event_base *base, const struct daemon_options *options,
	       const struct daemon_callbacks *callbacks, void *context, struct daemon **out,
	       struct error *err);
void daemon_free(struct daemon *d);
OWNED(daemon)

const char *daemon_name(const struct daemon *d);
bool daemon_running(const struct daemon *d);
/* It ended because it didn't understand its options or settings. */
bool daemon_misused(const struct daemon *d);

/* Starts it now. */
int daemon_start(struct daemon *d, struct error *err);
/* Starts it after a while, which doubles each time unless it lived long; the milliseconds until
 * then. */
uint64_t daemon_start_later(struct daemon *d);
/* Asks it to end; kills it when it doesn't. */
void daemon_stop(struct daemon *d);
