/* link.h - one connection that carries frames: a unix socket on one box, TLS 1.3 with a pre-shared
 * key between boxes (RFC 8446 section 4.2.11, external PSK with (EC)DHE). On libevent; everything
 * is called from the loop of the event_base that it was made with. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "proto/message.h"

#include <event2/event.h>
#include <sys/types.h>

#define LINK_SECRET 32 /* bytes */
#define LINK_PORT   8888

/* "unix:PATH", or "HOST:PORT" ("[v6]:PORT"; the port may be missing). */
struct link_address {
	char path[108]; /* of a unix socket, "" for TCP */
	char host[256];
	char port[6];
};
/* Pure. -EINVAL with what is wrong. */
int link_address_parse(const char *text, struct link_address *out, struct error *err);
/* The same text again, for messages; cut when `size` is too small. */
void link_address_format(const struct link_address *address, char *out, size_t size);

/* A join token: cupel1:NAME:SECRET in hex:ADDRESS. */
struct link_token {
	char name[MESSAGE_NAME_MAX + 1];
	uint8_t secret[LINK_SECRET];
	struct link_address address;
};
/* Pure. -EINVAL with what is wrong, without quoting the secret. */
int link_token_parse(const char *text, struct link_token *out, struct error *err);
int link_token_format(const struct link_token *token, char *out, size_t size);
/* Reads one token from a file that only its owner may read (mode 0600 or stricter). */
int link_token_read(const char *path, struct link_token *out, struct error *err);

struct link;

/* Who is at the other end, as proven by kernel or key; never by its own word. */
struct link_peer {
	bool local; /* over a unix socket: `uid` is the peer's */
	uid_t uid;
	pid_t pid;
	char name[MESSAGE_NAME_MAX + 1]; /* over TLS: the token's name */
	Cupel__Role role;                /* over TLS: the token's role, else ROLE_NONE */
};

struct link_callbacks {
	/* The transport is up (TLS done). NULL is fine. */
	void (*open)(void *context, struct link *link);
	/* A whole frame; its payload is borrowed until the callback returns. The callback may close
	 * the link. */
	void (*frame)(void *context, struct link *link, const struct frame *frame);
	/* What was queued fell below LINK_LOW bytes. NULL is fine. */
	void (*drained)(void *context, struct link *link);
	/* It is over: `reason` in a sentence. Called once at most, never from within a call on the
	 * same link, and not after link_free(). The callback should free the link. */
	void (*closed)(void *context, struct link *link, const char *reason);
};

/* --- dialling -------------------------------------------------------------------------------- */

/* `token` may be NULL for a unix socket. Failures that come later are told by `closed`. */
int link_dial(struct event_base *base, const struct link_address *address,
	      const struct link_token *token, const struct link_callbacks *callbacks, void *context,
	      struct link **out, struct error *err);

/* --- listening ------------------------------------------------------------------------------- */

struct link_listener;

struct link_listen {
	/* Makes the link's context and callbacks for a new peer, or refuses it (false). The peer is
	 * known: over TLS the handshake is done. On false the link is freed by the listener. */
	bool (*accept)(void *context, struct link *link);
	/* TLS: finds a peer's secret and role by its name. False: not known. */
	bool (*find)(void *context, const char *name, uint8_t secret[LINK_SECRET],
		     Cupel__Role *role);
	void *context;
};

/* An address in use, missing rights: told with the remedy. A stale unix socket (nobody answers)
 * is replaced. `mode` is the unix socket's. */
int link_listen(struct event_base *base, const struct link_address *address, mode_t mode,
		const struct link_listen *how, struct link_listener **out, struct error *err);
/* The port in use, for ":0". */
unsigned link_listener_port(const struct link_listener *l);
void link_listener_free(struct link_listener *l);
OWNED(link_listener)

/* From within `accept`. */
void link_set_callbacks(struct link *link, const struct link_callbacks *callbacks, void *context);

/* --- using ----------------------------------------------------------------------------------- */

const struct link_peer *link_peer(const struct link *link);

/* Once it is over: a positive errno for programs, 0 for an orderly end. EACCES: the dispatcher does
 * not accept the join token. */
int link_error(const struct link *link);

/* Queues a frame; its bytes are copied. -EMSGSIZE, -ENOMEM, -EPIPE once the link is over. */
int link_send(struct link *link, uint8_t type, const ProtobufCMessage *m);
int link_send_raw(struct link *link, uint8_t type, const void *head, size_t head_length,
		  const void *bytes, size_t length);
/* An error frame; the connection stays. */
int link_send_error(struct link *link, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Bytes queued and not yet written: the sender's own back-pressure. */
size_t link_queued(const struct link *link);
#define LINK_LOW ((size_t)256 << 10)

/* `drained` is told below `low` bytes (at least 1) instead of LINK_LOW: for who has many links and
 * wants little queued on each. */
void link_set_low(struct link *link, size_t low);

/* Frames with a larger payload end it, as those over FRAME_PAYLOAD_MAX do: for peers that have not
 * said yet who they are. */
void link_set_payload_max(struct link *link, size_t max);

/* Stops or goes on reading: the reader's back-pressure. */
void link_pause(struct link *link, bool paused);

/* Closes once what is queued has been written and the peer has seen the end (or after 5 s); no
 * callback but `closed`. */
void link_finish(struct link *link);

void link_free(struct link *link);
OWNED(link)
