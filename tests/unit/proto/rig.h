/* rig.h - an event loop with a deadline, a directory, and both ends of a link that write down what
 * happens to them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "proto/link.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define DEADLINE_MS 30000 /* for what takes milliseconds, or seconds under valgrind */

struct rig;

/* One end of a link. */
struct end {
	struct rig *rig;
	struct link *link;
	unsigned opened, frames, drained, closed;
	uint8_t last;   /* frame type */
	size_t bytes;   /* of payloads */
	uint32_t error; /* the code of the last ERROR frame */
	char reason[400];
	bool free_in_frame, finish_in_frame, pause_in_frame, echo, keep;
};

struct rig {
	struct event_base *base;
	struct event *tick; /* so that a loop with nothing to do looks at its deadline */
	char dir[64], path[108];
	struct link_address address;
	struct link_listener *listener;
	struct link_token token; /* what the listener knows */
	Cupel__Role role;
	bool refuse;
	unsigned asked;
	struct end client, server;
};

static inline void end_open(void *context, struct link *link)
{
	struct end *e = context;

	(void)link;
	e->opened++;
}

static inline void end_frame(void *context, struct link *link, const struct frame *frame)
{
	struct end *e = context;

	e->frames++;
	e->last = frame->type;
	e->bytes += frame->length;
	if (frame->type == FRAME_ERROR) {
		ProtobufCMessage *m = NULL;

		assert_int_equal(message_unpack(frame, &m, NULL), 0);
		e->error = ((Cupel__Error *)m)->code;
		message_free(m);
	}
	if (e->echo)
		assert_int_equal(
			link_send_raw(link, FRAME_PONG, NULL, 0, frame->payload, frame->length), 0);
	if (e->pause_in_frame)
		link_pause(link, true);
	if (e->finish_in_frame)
		link_finish(link);
	if (e->free_in_frame) {
		link_free(link);
		e->link = NULL;
		/* It is borrowed until this returns, whatever became of the link. */
		for (size_t i = 0; i < frame->length; i++)
			e->bytes += frame->payload[i] == 255;
	}
}

static inline void end_drained(void *context, struct link *link)
{
	struct end *e = context;

	(void)link;
	e->drained++;
}

static inline void end_closed(void *context, struct link *link, const char *reason)
{
	struct end *e = context;

	e->closed++;
	(void)snprintf(e->reason, sizeof(e->reason), "%s", reason);
	if (e->keep)
		return;
	link_free(link);
	if (e->link == link) /* somebody may have come after it */
		e->link = NULL;
}

static const struct link_callbacks end_callbacks = {end_open, end_frame, end_drained, end_closed};

static inline bool rig_accept(void *context, struct link *link)
{
	struct rig *r = context;

	if (r->refuse)
		return false;
	r->server.opened++;
	r->server.link = link;
	link_set_callbacks(link, &end_callbacks, &r->server);
	return true;
}

static inline bool rig_find(void *context, const char *name, uint8_t secret[LINK_SECRET],
			    Cupel__Role *role)
{
	struct rig *r = context;

	r->asked++;
	if (strcmp(name, r->token.name) != 0)
		return false;
	memcpy(secret, r->token.secret, LINK_SECRET);
	*role = r->role;
	return true;
}

static inline int rig_listen(struct rig *r, const char *text, struct error *err)
{
	const struct link_listen how = {rig_accept, rig_find, r};
	int rc = link_address_parse(text, &r->address, err);

	if (rc == 0)
		rc = link_listen(r->base, &r->address, 0600, &how, &r->listener, err);
	if (rc == 0 && *r->address.host)
		(void)snprintf(r->address.port, sizeof(r->address.port), "%u",
			       link_listener_port(r->listener));
	return rc;
}

static inline void rig_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
}

static inline int rig_setup(void **state)
{
	static const struct timeval tick = {0, 20 * 1000};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	strcpy(r->dir, "/tmp/cupel-link-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "unix:%s/s", r->dir);
	r->base = event_base_new();
	assert_non_null(r->base);
	r->tick = event_new(r->base, -1, EV_PERSIST, rig_tick, NULL);
	assert_non_null(r->tick);
	assert_int_equal(event_add(r->tick, &tick), 0);
	r->client.rig = r->server.rig = r;
	strcpy(r->token.name, "box-1");
	memset(r->token.secret, 0x5a, LINK_SECRET);
	r->role = CUPEL__ROLE__ROLE_RUNNER;
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	link_free(r->client.link);
	link_free(r->server.link);
	link_listener_free(r->listener);
	event_free(r->tick);
	event_base_free(r->base);
	(void)unlink(r->path + strlen("unix:")); /* a listener that died on purpose leaves it */
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	return 0;
}

/* What is ready now, or the next that will be. */
static inline void rig_once(struct rig *r)
{
	assert_int_equal(event_base_loop(r->base, EVLOOP_ONCE), 0);
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(r, condition)                                                                    \
	do {                                                                                       \
		int64_t end_ = clock_boot_ms() + DEADLINE_MS;                                      \
		while (!(condition)) {                                                             \
			assert_true(clock_boot_ms() < end_);                                       \
			rig_once(r);                                                               \
		}                                                                                  \
	} while (0)

static inline void rig_dial(struct rig *r, const struct link_token *token)
{
	struct error err = {0};

	if (link_dial(r->base, &r->address, token, &end_callbacks, &r->client, &r->client.link,
		      &err) < 0)
		fail_msg("%s", err.text);
}

/* Both ends, connected. */
static inline void rig_connect(struct rig *r, const char *address)
{
	struct error err = {0};

	if (rig_listen(r, address, &err) < 0)
		fail_msg("%s", err.text);
	rig_dial(r, &r->token);
	RUN_UNTIL(r, (r->client.opened && r->server.opened) || r->client.closed);
	if (r->client.closed)
		fail_msg("%s", r->client.reason);
}

static inline void rig_ping(struct link *link, uint64_t cookie)
{
	Cupel__Ping m = CUPEL__PING__INIT;

	m.cookie = cookie;
	assert_int_equal(link_send(link, FRAME_PING, &m.base), 0);
}

/* A socket of our own towards the listener, to say what a link never would. */
static inline int rig_raw_unix(struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, r->address.path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}
