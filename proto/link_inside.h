/* link_inside.h - what the files of the link share. Internal.
 *
 * A link lives through its phases in order, though it may skip some. link_free() shuts it at once;
 * the memory goes when nothing on the stack works on it any more (`busy`). */
#pragma once

#include "proto/link.h"
#include "proto/link_tls.h"

#include <event2/buffer.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#define LINK_PATIENCE_MS 10000 /* from the first packet until the handshake is done */
#define LINK_FAREWELL_MS 5000  /* for what is queued when it finishes */

enum link_phase {
	LINK_CONNECTING,
	LINK_SHAKING, /* TLS handshake */
	LINK_OPEN,
	LINK_FINISHING, /* writes what is queued */
	LINK_LEAVING,   /* has shut its side, waits for the peer to do the same */
	LINK_OVER,      /* `closed` is due or done */
};

struct link {
	struct event_base *base; /* borrowed */
	enum link_phase phase;
	int fd;
	struct link_tls *tls; /* NULL over unix sockets */
	struct link_peer peer;
	struct link_callbacks callbacks;
	void *context;

	struct event readable, writable;
	struct event turn;     /* what must not happen within a caller's call happens here */
	struct event deadline; /* of the handshake or the farewell */

	uint8_t *in; /* only while a frame is incomplete or reading is paused */
	size_t in_length, in_size;
	size_t in_usual; /* the last whole frame's, and some */
	size_t payload_max;
	struct evbuffer *out;
	size_t low; /* LINK_LOW, or as its owner wants */

	bool paused;
	bool high;     /* `low` or more was queued: `drained` is due */
	bool mute;     /* writing has failed; what the peer said before may still be read */
	bool ended;    /* the peer's side has ended */
	bool told;     /* `closed` was called */
	bool freed;    /* by its owner */
	unsigned busy; /* calls on the stack that still need the memory */
	int code;
	char reason[320];

	char *from;                     /* the peer's address, while it shakes hands */
	int64_t accepted_at_ms;         /* clock_boot_ms(), while it shakes hands */
	struct link_listener *listener; /* while it shakes hands: nobody else knows it yet */
	TAILQ_ENTRY(link) entry;        /* of the listener's */
	struct dialling *dialling;      /* while it connects over TCP */
};

struct link *link_new(struct event_base *base);

/* Takes `fd` over: the transport below is connected. With `tls` it shakes hands first. */
int link_attach(struct link *l, int fd, struct link_tls *tls);
/* Sets fd's events without being connected yet. */
void link_watch(struct link *l, int fd);
void link_deadline(struct link *l, int ms);
/* Ends it; `closed` follows in the loop's next round. Only the first reason counts. */
void link_over(struct link *l, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Brackets code after which the link may have been freed. */
void link_enter(struct link *l);
void link_leave(struct link *l);
void link_turn(struct link *l);

/* link_write.c: goes on when the socket takes more. */
void link_want_write(struct link *l);
/* Writes what is queued, as much as goes now; what follows from that may end the link. */
void link_flush(struct link *l);

/* link_listen.c: the handshake of an accepted link is done, or has failed; it may free the link. */
void link_listener_ready(struct link_listener *listener, struct link *l);
void link_listener_failed(struct link_listener *listener, struct link *l);

void link_keep_alive(int fd); /* TCP: notices a peer that is gone, doesn't hold small frames back */
struct sockaddr_un;
int link_unix_address(const char *path, struct sockaddr_un *out);

/* link_dial.c */
void dialling_writable(struct link *l);
void dialling_free(struct dialling *d);
