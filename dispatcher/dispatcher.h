/* dispatcher.h - what must be run, who holds it, what is its verdict: the daemon as a thing that a
 * program (or a test) starts on an event loop. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#define DISPATCHER_LISTEN_MAX 8
#define DISPATCHER_UIDS_MAX   64

struct dispatcher_options {
	const char *state; /* directory; all strings are borrowed while the dispatcher lives */
	const char *listen[DISPATCHER_LISTEN_MAX]; /* none: unix:STATE/dispatcher.sock */
	size_t listen_count;
	const char *advertise; /* HOST:PORT that tokens name; NULL: the TCP listener's */
	uint64_t heartbeat_ms, lease_ms, lease_slack_ms;
	uint64_t accept_ms;         /* from an assignment to the runner's answer */
	uint64_t deadline_slack_ms; /* how much later than the runner's our own clock strikes */
	uint64_t prepare_ms;        /* preparing, and finishing, at most */
	uid_t allow_uids[DISPATCHER_UIDS_MAX]; /* local users who are admins */
	size_t allow_uids_count;
	/* Bytes said in one turn: a turn handles what the sockets held, so that this isn't reached;
	 * were it, the frames beyond it are lost and their peers are dismissed, which makes them
	 * ask again. */
	size_t outbox_max;
};
/* The defaults of every number. */
#define DISPATCHER_OPTIONS                                                                         \
	{                                                                                          \
		.heartbeat_ms = 5000, .lease_ms = 60000, .lease_slack_ms = 5000,                   \
		.accept_ms = 5000, .deadline_slack_ms = 10000, .prepare_ms = 300000,               \
		.outbox_max = (size_t)256 << 20                                                    \
	}

struct dispatcher;

/* Opens the state, takes up what was left, listens. */
int dispatcher_new(struct event_base *base, const struct dispatcher_options *options,
		   struct dispatcher **out, struct error *err);
/* Commits what is under way and lets go of everything. */
void dispatcher_free(struct dispatcher *d);
OWNED(dispatcher)

/* The port of the first TCP listener, 0: none. */
unsigned dispatcher_port(const struct dispatcher *d);
