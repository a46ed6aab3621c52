/* sender.h - the window of events on their way to the dispatcher: a bounded number is sent and not
 * yet acknowledged, and all of those are sent again after a lost connection or a refusal. */
#pragma once

#include "proto/dial.h"

#include <stddef.h>
#include <stdint.h>

#define SENDER_WINDOW 64

struct sender;

struct sender_event {
	Cupel__Event event; /* its strings are borrowed until `next` is called again */
	void *owner;        /* for `acked` */
	size_t mark;        /* likewise */
};

struct sender_callbacks {
	/* The next event; false: there is none now, sender_wake() tells when to ask again. */
	bool (*next)(void *context, struct sender_event *out);
	/* The dispatcher has it on disk. In the order in which `next` gave them. */
	void (*acked)(void *context, void *owner, size_t mark);
	/* The dispatcher refuses this observer for good. */
	void (*refused)(void *context, const char *reason);
};

struct sender_options {
	struct dial_options dial;
	uint64_t rest_min_ms, rest_max_ms; /* after a refused event; 0: 500 and 30,000 */
};

int sender_new(struct event_base *base, const struct sender_options *options,
	       const struct sender_callbacks *callbacks, void *context, struct sender **out,
	       struct error *err);
void sender_free(struct sender *s);
OWNED(sender)

void sender_wake(struct sender *s);

/* Events sent or to be sent again, and not acknowledged. */
size_t sender_waiting(const struct sender *s);
