/* control.h - what the runner's main process and a supervisor say to each other: small records over
 * the unix SEQPACKET socket `control` in the attempt's spool directory. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_VERSION 1

enum control_order_kind {
	CONTROL_LEASE = 1, /* renewed: at `from_ms` for `lease_ms` */
	CONTROL_CANCEL,    /* end it as cancelled */
	CONTROL_ABORT,     /* end it as errored, infrastructure: the box gives up, not the job */
	CONTROL_ASK,       /* what does it use now? */
};

struct control_order {
	uint32_t version;
	uint32_t kind;
	int64_t from_ms, lease_ms; /* clock_boot_ms() */
	char reason[400];
};

struct control_report {
	uint32_t version;
	uint32_t state; /* Cupel__State */
	int32_t pid;    /* of the supervisor: to kill it when it doesn't hear */
	bool answered;  /* the result is in the spool */
	bool released;  /* cgroup and worktree are gone */
	uint64_t log_length;
	struct sandbox_usage usage;
};

/* Makes the socket; what an earlier one left is replaced. */
int control_listen(int spool_dir, struct error *err);

/* -ECONNREFUSED, -ENOENT: no supervisor lives there. */
int control_connect(int spool_dir, struct error *err);

/* A waiting connection, or -EAGAIN. */
int control_accept(int listener);

/* Without waiting: 0; -EAGAIN: later; other -errno: the other end is gone. */
int control_send_order(int fd, const struct control_order *o);
int control_send_report(int fd, const struct control_report *r);

/* 1: there was one; 0: none waits; -errno (-EPIPE: closed, -EPROTO: another version's). */
int control_receive_order(int fd, struct control_order *out);
int control_receive_report(int fd, struct control_report *out);
