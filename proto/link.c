#include "proto/link_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Read at once beyond the frame that is being read. With the frame, what one peer can make us hold.
 */
#define READ_AHEAD ((size_t)64 << 10)
#define READ_TURNS 32 /* then others have their turn */

/* --- life --------------------------------------------------------------- */

static void on_turn(evutil_socket_t fd, short what, void *context);
static void on_deadline(evutil_socket_t fd, short what, void *context);
static void on_readable(evutil_socket_t fd, short what, void *context);
static void on_writable(evutil_socket_t fd, short what, void *context);

struct link *link_new(struct event_base *base)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->base = base;
	l->fd = -1;
	l->low = LINK_LOW;
	l->payload_max = FRAME_PAYLOAD_MAX;
	l->out = evbuffer_new();
	if (!l->out) {
		free(l);
		return NULL;
	}
	event_assign(&l->turn, base, -1, 0, on_turn, l);
	event_assign(&l->deadline, base, -1, 0, on_deadline, l);
	link_watch(l, -1);
	return l;
}

void link_watch(struct link *l, int fd)
{
	l->fd = fd;
	event_assign(&l->readable, l->base, fd, EV_READ | EV_PERSIST, on_readable, l);
	event_assign(&l->writable, l->base, fd, EV_WRITE, on_writable, l);
}

void link_deadline(struct link *l, int ms)
{
	const struct timeval t = {ms / 1000, ms % 1000 * 1000};

	(void)event_add(&l->deadline, &t); /* no descriptor: fails only without memory */
}

void link_turn(struct link *l)
{
	static const struct timeval now = {0, 0};

	(void)event_add(&l->turn, &now); /* as above */
}

static void drop_input(struct link *l)
{
	free(give(l->in));
	l->in_length = l->in_size = 0;
}

/* Lets go of everything below; what remains is memory. */
static void shut(struct link *l)
{
	event_del(&l->readable);
	event_del(&l->writable);
	event_del(&l->deadline);
	if (l->dialling)
		dialling_free(give(l->dialling));
	if (l->tls && (l->phase >= LINK_OPEN))
		link_tls_goodbye(l->tls);
	link_tls_free(give(l->tls));
	if (l->fd >= 0)
		(void)close(l->fd); /* nothing is lost that a close could tell */
	l->fd = -1;
	(void)evbuffer_drain(l->out, evbuffer_get_length(l->out));
	if (!l->busy) /* else a callback may still read its frame */
		drop_input(l);
}

static void release(struct link *l)
{
	free(l->from);
	evbuffer_free(l->out);
	free(l);
}

void link_enter(struct link *l)
{
	l->busy++;
}

void link_leave(struct link *l)
{
	if (--l->busy)
		return;
	if (l->phase == LINK_OVER)
		drop_input(l);
	if (l->freed)
		release(l);
}

void link_free(struct link *l)
{
	if (!l || l->freed)
		return;
	l->freed = true;
	shut(l);
	event_del(&l->turn);
	l->phase = LINK_OVER;
	if (!l->busy)
		release(l);
}

void link_over(struct link *l, int code, const char *format, ...)
{
	va_list args;

	if (l->phase == LINK_OVER)
		return;
	if (!*l->reason) {
		va_start(args, format);
		(void)vsnprintf(l->reason, sizeof(l->reason), format, args); /* cut when too long */
		va_end(args);
		l->code = code;
	}
	shut(l);
	l->phase = LINK_OVER;
	link_turn(l);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct link *l = context;

	(void)fd;
	(void)what;
	link_over(l, ETIMEDOUT,
		  l->phase == LINK_CONNECTING ? "no connection within %d s"
		  : l->phase == LINK_SHAKING  ? "no TLS handshake within %d s"
					      : "the peer took nothing for %d s",
		  l->phase < LINK_OPEN ? LINK_PATIENCE_MS / 1000 : LINK_FAREWELL_MS / 1000);
}

/* --- the transport ------------------------------------------------------ */

static ssize_t read_some(struct link *l, void *bytes, size_t length)
{
	ssize_t n;

	if (l->tls)
		return link_tls_read(l->tls, bytes, length);
	n = recv(l->fd, bytes, length, 0);
	return n < 0 ? -(errno == EINTR ? EAGAIN : errno) : n;
}

static bool pending(const struct link *l)
{
	return l->tls && link_tls_pending(l->tls);
}

/* --- reading ------------------------------------------------------------ */

static void end_of_input(struct link *l)
{
	l->ended = true;
	event_del(&l->readable);
	if (l->phase != LINK_OPEN) {
		if (l->phase == LINK_LEAVING)
			link_over(l, 0, "closed");
		return;
	}
	(void)snprintf(l->reason, sizeof(l->reason), "%s",
		       l->in_length ? "the connection ended in the middle of a frame"
				    : "the peer closed the connection"); /* fits */
	l->code = l->in_length ? EBADMSG : 0;
	l->phase = LINK_FINISHING;
	if (!evbuffer_get_length(l->out))
		link_over(l, l->code, "%s", l->reason);
	else
		link_deadline(l, LINK_FAREWELL_MS);
}

static void oversize(struct link *l)
{
	uint32_t length = (uint32_t)l->in[0] << 24 | (uint32_t)l->in[1] << 16 |
			  (uint32_t)l->in[2] << 8 | l->in[3];

	(void)link_send_error(l, EMSGSIZE, "a frame of %u bytes is over the limit of %zu", length,
			      l->payload_max);
	(void)snprintf(l->reason, sizeof(l->reason),
		       "it sent garbage: a frame of %u bytes is over the limit of %zu", length,
		       l->payload_max); /* fits */
	l->code = EMSGSIZE;
	link_finish(l);
}

/* Told by its head alone. */
static bool too_large(const struct link *l, size_t at)
{
	ssize_t whole = frame_whole_length(l->in + at, l->in_length - at);

	return whole < 0 || (whole > 0 && (size_t)whole > FRAME_HEAD + l->payload_max);
}

/* Hands over what is complete. */
static void deliver(struct link *l)
{
	size_t at = 0;

	while (l->phase == LINK_OPEN && !l->paused && at < l->in_length) {
		struct frame frame;
		ssize_t n;

		if (too_large(l, at)) {
			memmove(l->in, l->in + at, 4); /* its length, to be told */
			oversize(l);
			return;
		}
		n = frame_parse(l->in + at, l->in_length - at, &frame);
		if (n == 0)
			break;
		at += (size_t)n;
		l->in_usual = (size_t)n + READ_AHEAD;
		l->callbacks.frame(l->context, l, &frame);
	}
	if (l->phase != LINK_OPEN)
		return; /* shut, or nothing more is wanted */
	l->in_length -= at;
	if (at && l->in_length)
		memmove(l->in, l->in + at, l->in_length);
}

/* Grows with what has come, not with what a head announces; but what came whole before will again.
 */
static int make_room(struct link *l)
{
	ssize_t whole = l->in ? frame_whole_length(l->in, l->in_length) : 0;
	size_t size = 2 * l->in_length;
	uint8_t *in;

	size = (whole > 0 && size > (size_t)whole ? (size_t)whole : size);
	size = (size > l->in_length ? size : l->in_length) + READ_AHEAD;
	if (!l->in && l->in_usual > size)
		size = l->in_usual;
	if (l->in_size - l->in_length >= READ_AHEAD / 2 || l->in_size >= size)
		return 0;
	in = realloc(l->in, size);
	if (!in)
		return -ENOMEM;
	l->in = in;
	l->in_size = size;
	return 0;
}

/* One read and what follows from it; false: enough. */
static bool read_and_deliver(struct link *l)
{
	size_t room;
	ssize_t n;

	if (make_room(l) < 0) {
		link_over(l, ENOMEM, "no memory for what the peer sends");
		return false;
	}
	room = l->in_size - l->in_length;
	n = read_some(l, l->in + l->in_length, room);
	if (n == -EAGAIN) {
		if (l->tls && link_tls_wants_write(l->tls))
			link_want_write(l);
		return false;
	}
	if (n < 0) {
		link_over(l, (int)-n, "the connection broke: %s", strerror((int)-n));
		return false;
	}
	if (n == 0) {
		end_of_input(l);
		return false;
	}
	l->in_length += (size_t)n;
	if (l->phase == LINK_LEAVING)
		l->in_length = 0; /* nobody listens any more */
	deliver(l);
	return l->tls || (size_t)n == room; /* a socket that gave less is empty */
}

static bool reads(const struct link *l)
{
	return (l->phase == LINK_OPEN && !l->paused) || l->phase == LINK_LEAVING;
}

static void read_turn(struct link *l)
{
	unsigned turns = 0;

	while (reads(l) && turns < READ_TURNS && read_and_deliver(l))
		turns++;
	if (turns == READ_TURNS && reads(l) && pending(l))
		link_turn(l);
	if (!l->in_length && l->in) /* an idle link costs nothing */
		drop_input(l);
}

/* --- events ------------------------------------------------------------- */

static void opened(struct link *l)
{
	event_del(&l->deadline);
	l->phase = LINK_OPEN;
	(void)event_add(&l->readable, NULL); /* as in link_want_write() */
	if (evbuffer_get_length(l->out))     /* it was in a hurry */
		event_active(&l->writable, EV_WRITE, 0);
	if (l->listener)
		link_listener_ready(give(l->listener), l);
	else if (l->callbacks.open)
		l->callbacks.open(l->context, l);
	if (reads(l) && pending(l))
		link_turn(l); /* it came with the handshake */
}

static void shake(struct link *l)
{
	struct error err = {0};
	int rc = link_tls_handshake(l->tls, &l->peer, &err);

	if (rc == 0)
		opened(l);
	else if (rc != -EAGAIN)
		link_over(l, err.code, "%s", err.text);
	else if (link_tls_wants_write(l->tls))
		link_want_write(l);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct link *l = context;

	(void)fd;
	(void)what;
	link_enter(l);
	if (l->phase == LINK_SHAKING)
		shake(l);
	else
		read_turn(l);
	link_leave(l);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	struct link *l = context;

	(void)fd;
	(void)what;
	link_enter(l);
	if (l->phase == LINK_CONNECTING)
		dialling_writable(l);
	else if (l->phase == LINK_SHAKING)
		shake(l);
	else if (l->phase == LINK_OPEN || l->phase == LINK_FINISHING)
		link_flush(l);
	if (reads(l) && pending(l))
		link_turn(l);
	link_leave(l);
}

static void tell_closed(struct link *l)
{
	if (l->told)
		return;
	l->told = true;
	if (l->listener)
		link_listener_failed(give(l->listener), l);
	else if (l->callbacks.closed)
		l->callbacks.closed(l->context, l, l->reason);
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
	struct link *l = context;

	(void)fd;
	(void)what;
	link_enter(l);
	if (l->phase == LINK_OVER)
		tell_closed(l);
	else if (l->phase == LINK_FINISHING)
		link_flush(l);
	else if (l->phase == LINK_CONNECTING)
		opened(l); /* a unix socket connects at once, and tells it here */
	else if (reads(l)) {
		deliver(l);
		read_turn(l);
	}
	link_leave(l);
}

int link_attach(struct link *l, int fd, struct link_tls *tls)
{
	link_watch(l, fd);
	l->tls = tls;
	if (!tls) {
		link_turn(l);
		return 0;
	}
	l->phase = LINK_SHAKING;
	return event_add(&l->readable, NULL) < 0 ? -ENOMEM : 0;
}

/* --- using -------------------------------------------------------------- */

void link_set_callbacks(struct link *l, const struct link_callbacks *callbacks, void *context)
{
	l->callbacks = *callbacks;
	l->context = context;
}

void link_set_payload_max(struct link *l, size_t max)
{
	l->payload_max = max;
}

const struct link_peer *link_peer(const struct link *l)
{
	return &l->peer;
}

int link_error(const struct link *l)
{
	return l->code;
}

void link_pause(struct link *l, bool paused)
{
	if (l->paused == paused)
		return;
	l->paused = paused;
	if (l->phase != LINK_OPEN)
		return;
	if (paused) {
		event_del(&l->readable);
	} else {
		(void)event_add(&l->readable, NULL); /* as in link_want_write() */
		link_turn(l);                        /* for what is here already */
	}
}

void link_finish(struct link *l)
{
	if (l->phase >= LINK_FINISHING)
		return;
	if (l->phase < LINK_OPEN) {
		link_over(l, 0, "closed");
		return;
	}
	event_del(&l->readable);
	if (!*l->reason)
		(void)snprintf(l->reason, sizeof(l->reason), "closed by this side"); /* fits */
	l->phase = LINK_FINISHING;
	link_deadline(l, LINK_FAREWELL_MS);
	link_turn(l);
}
