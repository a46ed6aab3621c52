/* dial.h - a connection that comes back: dials, says hello, hands over frames, and dials again with
 * back-off when it is lost. What runners and observers hold towards their dispatcher. */
#pragma once

#include "proto/link.h"

struct dial;

struct dial_callbacks {
	/* Fills the hello before each attempt (role, name, software are set already). What it
	 * points to is borrowed until the next call. NULL is fine. */
	void (*hello)(void *context, Cupel__Hello *hello);
	/* The dispatcher said welcome. */
	void (*up)(void *context, const Cupel__Welcome *welcome);
	void (*frame)(void *context, const struct frame *frame);
	void (*drained)(void *context); /* as in link.h; NULL is fine */
	/* It was lost, or could not be had (once per attempt); dialling goes on by itself. */
	void (*down)(void *context, const char *reason);
	/* The dispatcher refused for good (version, role, unknown token): no further attempts. That
	 * a token is unknown anybody can say who answers at its address: once there was a welcome
	 * it is a `down`. */
	void (*refused)(void *context, const char *reason);
};

struct dial_options {
	struct link_address address;
	const struct link_token *token; /* NULL for unix sockets; borrowed */
	Cupel__Role role;
	const char *name;                    /* borrowed */
	const char *software;                /* borrowed */
	uint64_t retry_min_ms, retry_max_ms; /* 0: 100 and 10,000; doubled each time, with jitter */
	bool once;                           /* one attempt; `down` is then the end: for commands */
	bool was_there;                      /* there was a welcome before this life */
};

int dial_new(struct event_base *base, const struct dial_options *options,
	     const struct dial_callbacks *callbacks, void *context, struct dial **out,
	     struct error *err);
/* NULL while there is no connection that has been welcomed. */
struct link *dial_link(const struct dial *d);
void dial_free(struct dial *d);
OWNED(dial)
