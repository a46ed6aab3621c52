#include "dispatcher/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Answers that one peer has not taken yet; beyond that its questions wait. */
#define UNREAD_MAX ((size_t)4 << 20)

struct record {
	uint64_t session;
	uint32_t length;
	uint8_t type;
};

static bool must_wait(const struct dispatcher *d)
{
	return d->outbox.length || store_dirty(d->store);
}

static void hold_back(struct session *s)
{
	if (s->held_back || link_queued(s->link) + s->in_outbox <= UNREAD_MAX)
		return;
	s->held_back = true;
	session_listen(s);
}

void outbox_drained(struct session *s)
{
	if (!s->held_back || s->in_outbox || link_queued(s->link) > LINK_LOW)
		return;
	s->held_back = false;
	session_listen(s);
}

/* Not at once: who calls say() still works on the session. */
static void doom(struct session *s)
{
	s->doomed = s->d->some_doomed = true;
	turn_wanted(s->d);
}

void outbox_dismiss_doomed(struct dispatcher *d)
{
	struct session *s, *next;

	if (!d->some_doomed)
		return;
	d->some_doomed = false;
	for (s = TAILQ_FIRST(&d->sessions); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->doomed)
			session_dismiss(s, ENOBUFS, "an answer was too large to be sent");
	}
}

void say(struct session *s, uint8_t type, const ProtobufCMessage *m)
{
	struct record r = {.type = type};
	struct buffer *out;
	size_t length;

	if (!s || s->finishing || s->doomed)
		return;
	if (!must_wait(s->d)) {
		(void)link_send(s->link, type, m); /* a link that is over tells so by itself */
		hold_back(s);
		return;
	}
	out = &s->d->outbox;
	length = protobuf_c_message_get_packed_size(m);
	if (length > FRAME_PAYLOAD_MAX || buffer_reserve(out, sizeof(r) + length) < 0) {
		doom(s);
		return;
	}
	r.session = s->id;
	r.length = (uint32_t)length;
	(void)buffer_append(out, &r, sizeof(r)); /* there is room */
	out->length += protobuf_c_message_pack(m, (uint8_t *)out->data + out->length);
	s->in_outbox += sizeof(r) + length;
	hold_back(s);
}

void say_error(struct session *s, int code, const char *format, ...)
{
	Cupel__Error e = CUPEL__ERROR__INIT;
	char text[MESSAGE_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	e.code = (uint32_t)code;
	e.text = text;
	say(s, FRAME_ERROR, &e.base);
}

void say_done(struct session *s, const char *format, ...)
{
	Cupel__Done m = CUPEL__DONE__INIT;
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut when too long */
	va_end(args);
	m.text = text;
	say(s, FRAME_DONE, &m.base);
}

void outbox_flush(struct dispatcher *d)
{
	struct buffer out = d->outbox;
	size_t at = 0;

	d->outbox = (struct buffer){.max = d->options.outbox_max}; /* sending may lead to saying */
	while (at < out.length) {
		struct record r;
		struct session *s;

		memcpy(&r, out.data + at, sizeof(r));
		at += sizeof(r);
		s = map_get(&d->sessions_by_id, r.session);
		if (s && !s->finishing) {
			(void)link_send_raw(s->link, r.type, out.data + at, r.length, NULL,
					    0); /* as above */
			s->in_outbox -= sizeof(r) + r.length;
			outbox_drained(s);
		}
		at += r.length;
	}
	if (d->outbox.data || out.size > FRAME_PAYLOAD_MAX) {
		buffer_done(&out);
		return;
	}
	buffer_clear(&out);
	d->outbox = out;
	d->outbox.max = d->options.outbox_max;
}

void outbox_drop(struct dispatcher *d)
{
	for (size_t at = 0; at < d->outbox.length;) {
		struct record r;
		struct session *s;

		memcpy(&r, d->outbox.data + at, sizeof(r));
		at += sizeof(r) + r.length;
		s = map_get(&d->sessions_by_id, r.session);
		if (s) {
			s->owed = true;
			s->in_outbox = 0;
		}
	}
	buffer_clear(&d->outbox);
}
