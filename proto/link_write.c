/* The half of a link that writes: frames join a queue, which goes out as the socket takes it. */
#include "proto/link_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define WRITE_TURN ((size_t)1 << 20) /* then others have their turn */
#define RECORD_MAX 16384             /* of TLS */

/* --- the queue goes out ------------------------------------------------- */

static ssize_t write_plain(struct link *l)
{
	struct evbuffer_iovec pieces[32];
	int count = evbuffer_peek(l->out, (ev_ssize_t)WRITE_TURN, NULL, pieces, 32);
	struct msghdr m = {.msg_iov = (struct iovec *)pieces,
			   .msg_iovlen = (size_t)(count < 32 ? count : 32)};
	ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL);

	return n < 0 ? -(errno == EINTR ? EAGAIN : errno) : n;
}

static ssize_t write_tls(struct link *l)
{
	size_t length = evbuffer_get_length(l->out);
	const void *bytes;

	/* A record holds several small frames; of large ones this copies no more than their ends.
	 */
	length = length < RECORD_MAX ? length : RECORD_MAX;
	bytes = evbuffer_pullup(l->out, (ev_ssize_t)length);
	return bytes ? link_tls_write(l->tls, bytes, length) : -ENOMEM;
}

void link_want_write(struct link *l)
{
	(void)event_add(&l->writable, NULL); /* fails only without memory: the deadlines end it */
}

/* Both directions end in order: a close with unread bytes would reset the connection, and the last
 * words with it. */
static void leave(struct link *l)
{
	if (l->ended || l->mute) {
		link_over(l, 0, "closed");
		return;
	}
	if (l->tls)
		link_tls_goodbye(l->tls);
	if (shutdown(l->fd, SHUT_WR) < 0) {
		link_over(l, 0, "closed");
		return;
	}
	l->phase = LINK_LEAVING;
	l->in_length = 0;
	(void)event_add(&l->readable, NULL); /* as in link_want_write() */
}

static void write_failed(struct link *l, int code)
{
	/* The peer may have said why before it went: read on until its end. */
	if (code != EPIPE && code != ECONNRESET) {
		link_over(l, code, "the connection broke: %s", strerror(code));
		return;
	}
	l->mute = true;
	(void)evbuffer_drain(l->out, evbuffer_get_length(l->out));
	if (l->paused || l->phase != LINK_OPEN)
		link_over(l, code, "the peer closed the connection");
}

/* What is queued has become less. */
static void after_write(struct link *l)
{
	if (l->phase == LINK_FINISHING && !evbuffer_get_length(l->out)) {
		leave(l);
		return;
	}
	if (!l->high || evbuffer_get_length(l->out) >= l->low)
		return;
	l->high = false;
	if (l->phase == LINK_OPEN && l->callbacks.drained)
		l->callbacks.drained(l->context, l);
}

void link_flush(struct link *l)
{
	size_t written = 0;

	while (evbuffer_get_length(l->out) && written < WRITE_TURN) {
		ssize_t n = l->tls ? write_tls(l) : write_plain(l);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			write_failed(l, (int)-n);
			return;
		}
		(void)evbuffer_drain(l->out, (size_t)n); /* it is that long */
		written += (size_t)n;
	}
	if (evbuffer_get_length(l->out))
		link_want_write(l);
	after_write(l);
}

/* --- frames join the queue ---------------------------------------------- */

size_t link_queued(const struct link *l)
{
	return evbuffer_get_length(l->out);
}

void link_set_low(struct link *l, size_t low)
{
	l->low = low;
	l->high = evbuffer_get_length(l->out) >= low;
}

/* Room for a whole frame at the end of the queue, its head written. */
static int begin(struct link *l, uint8_t type, size_t length, struct evbuffer_iovec *out)
{
	if (l->phase >= LINK_FINISHING || l->mute)
		return -EPIPE;
	if (length > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (evbuffer_reserve_space(l->out, (ev_ssize_t)(FRAME_HEAD + length), out, 1) != 1)
		return -ENOMEM;
	frame_head(out->iov_base, type, length);
	out->iov_len = FRAME_HEAD + length;
	return 0;
}

static int commit(struct link *l, struct evbuffer_iovec *frame)
{
	if (evbuffer_commit_space(l->out, frame, 1) < 0)
		return -ENOMEM;
	if (evbuffer_get_length(l->out) >= l->low)
		l->high = true;
	/* Written at the end of this round of the loop, together with what else comes until then;
	 * unless the socket is known to be full. */
	if (l->phase == LINK_OPEN && !event_pending(&l->writable, EV_WRITE, NULL))
		event_active(&l->writable, EV_WRITE, 0);
	return 0;
}

int link_send(struct link *l, uint8_t type, const ProtobufCMessage *m)
{
	struct evbuffer_iovec frame;
	int rc = begin(l, type, protobuf_c_message_get_packed_size(m), &frame);

	if (rc < 0)
		return rc;
	(void)protobuf_c_message_pack(m, (uint8_t *)frame.iov_base + FRAME_HEAD); /* as measured */
	return commit(l, &frame);
}

int link_send_raw(struct link *l, uint8_t type, const void *head, size_t head_length,
		  const void *bytes, size_t length)
{
	struct evbuffer_iovec frame;
	uint8_t *at;
	int rc;

	if (head_length > FRAME_PAYLOAD_MAX || length > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	rc = begin(l, type, head_length + length, &frame);
	if (rc < 0)
		return rc;
	at = (uint8_t *)frame.iov_base + FRAME_HEAD;
	if (head_length)
		memcpy(at, head, head_length);
	if (length)
		memcpy(at + head_length, bytes, length);
	return commit(l, &frame);
}

int link_send_error(struct link *l, int code, const char *format, ...)
{
	Cupel__Error m = CUPEL__ERROR__INIT;
	char text[MESSAGE_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	m.code = (uint32_t)(code < 0 ? -code : code);
	m.text = text;
	return link_send(l, FRAME_ERROR, &m.base);
}
