/* remote.h - one fetch from a remote repository, in a process of its own: what is at the other end
 * may be slow, dead or hostile, and a process can be ended at any moment. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct remote;

struct remote_options {
	const char *mirror, *url; /* borrowed until remote_free() */
	uint64_t deadline_ms;     /* then it is ended */
	/* It is over; `failure` is NULL when all went well. The callback should free the remote. */
	void (*done)(void *context, const char *failure);
	void *context;
};

int remote_start(struct event_base *base, const struct remote_options *options, struct remote **out,
		 struct error *err);
/* Ends it when it is still under way. */
void remote_free(struct remote *r);
OWNED(remote)

/* Is this a URL (scheme://...) or user@host:path, and not a path on this box? */
bool remote_is_url(const char *text);
/* -EINVAL and a sentence: an unknown scheme, or a password, which everybody who sees a run would
 * see. */
int remote_check_url(const char *url, struct error *err);
