#include "observer/sender.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The longest repository, ref, name and texts, and what packs them. */
#define EVENT_MAX (MESSAGE_URL_MAX + MESSAGE_REF_MAX + 2048)

struct slot {
	uint64_t sequence;
	void *owner;
	size_t mark;
	struct buffer bytes; /* the packed Event; its memory is kept from one event to the next */
	bool acked;
};

struct sender {
	struct dial *dial;
	struct sender_callbacks callbacks;
	void *context;
	struct slot slots[SENDER_WINDOW]; /* a ring */
	size_t first, count;
	size_t sent; /* of those, on this connection */
	uint64_t sequence;
	struct event *pump, *rest;
	uint64_t rest_ms, rest_min_ms, rest_max_ms;
	bool resting;   /* an event was refused: silence until the timer */
	bool trying;    /* then one event alone, until it is acknowledged */
	char lost[200]; /* why the connection was lost, as told; empty while there is one */
};

static struct slot *slot_at(struct sender *s, size_t i)
{
	return &s->slots[(s->first + i) % SENDER_WINDOW];
}

/* --- sending ------------------------------------------------------------ */

/* Into the free slot, which has room for EVENT_MAX. */
static void fill(struct sender *s, struct sender_event *e)
{
	struct slot *slot = slot_at(s, s->count);

	e->event.sequence = slot->sequence = ++s->sequence;
	assert(cupel__event__get_packed_size(&e->event) <= EVENT_MAX);
	slot->bytes.length = cupel__event__pack(&e->event, (uint8_t *)slot->bytes.data);
	slot->owner = e->owner;
	slot->mark = e->mark;
	slot->acked = false;
	s->count++;
}

/* Sends what is in the window and wasn't on this connection. */
static void send_slots(struct sender *s, struct link *link)
{
	size_t most = s->trying ? 1 : s->count;

	while (s->sent < most) {
		const struct slot *slot = slot_at(s, s->sent);

		if (!slot->acked && link_send_raw(link, FRAME_EVENT, NULL, 0, slot->bytes.data,
						  slot->bytes.length) < 0)
			return; /* the connection is over, which `down` will tell */
		s->sent++;
	}
}

static void pump(struct sender *s)
{
	struct link *link = dial_link(s->dial);

	if (!link || s->resting)
		return;
	send_slots(s, link);
	while (!s->trying && s->count < SENDER_WINDOW && s->sent == s->count) {
		struct sender_event e = {.event = CUPEL__EVENT__INIT};
		struct buffer *bytes = &slot_at(s, s->count)->bytes;

		buffer_clear(bytes);
		if (buffer_reserve(bytes, EVENT_MAX) < 0)
			return; /* the next acknowledgement or connection tries again */
		if (!s->callbacks.next(s->context, &e))
			return;
		fill(s, &e);
		send_slots(s, link);
	}
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

void sender_wake(struct sender *s)
{
	event_active(s->pump, 0, 0);
}

/* --- answers ------------------------------------------------------------ */

/* Passes on what is acknowledged from the front. */
static void pass_on(struct sender *s)
{
	while (s->count && slot_at(s, 0)->acked) {
		struct slot *slot = slot_at(s, 0);

		s->first = (s->first + 1) % SENDER_WINDOW;
		s->count--;
		s->sent -= s->sent > 0;
		s->callbacks.acked(s->context, slot->owner, slot->mark);
	}
}

static void on_ack(struct sender *s, const Cupel__EventAck *ack)
{
	for (size_t i = 0; i < s->count; i++)
		if (slot_at(s, i)->sequence == ack->sequence)
			slot_at(s, i)->acked = true;
	if (s->trying) {
		s->trying = false;
		s->rest_ms = 0;
		log_info("the dispatcher takes events again");
	}
	pass_on(s);
	sender_wake(s);
}

static void on_rest(evutil_socket_t fd, short what, void *arg)
{
	struct sender *s = arg;

	(void)fd;
	(void)what;
	s->resting = false;
	pump(s);
}

/* Which event was refused isn't said: after a pause all that aren't acknowledged are sent again,
 * the oldest alone at first. The dispatcher knows those that it has. */
static void on_error(struct sender *s, const Cupel__Error *e)
{
	struct timeval tv;

	if (s->resting || !s->count)
		return;
	if (!s->rest_ms)
		log_warning("the dispatcher refused an event: %s; trying again until it takes it",
			    e->text);
	s->rest_ms = s->rest_ms ? s->rest_ms * 2 : s->rest_min_ms;
	if (s->rest_ms > s->rest_max_ms)
		s->rest_ms = s->rest_max_ms;
	tv = (struct timeval){.tv_sec = (time_t)(s->rest_ms / 1000),
			      .tv_usec = (suseconds_t)(s->rest_ms % 1000 * 1000)};
	s->resting = s->trying = true;
	s->sent = 0;
	(void)evtimer_add(s->rest, &tv); /* timers without memory of their own don't fail */
}

/* --- the connection ----------------------------------------------------- */

static void on_frame(void *context, const struct frame *frame)
{
	struct sender *s = context;
	ProtobufCMessage *m = NULL;
	struct error err = {0};

	if (frame->type == FRAME_PING)
		(void)link_send_raw(dial_link(s->dial), FRAME_PONG, NULL, 0, frame->payload,
				    frame->length); /* a loss is told by `down` */
	if (frame->type != FRAME_EVENT_ACK && frame->type != FRAME_ERROR)
		return;
	if (message_unpack(frame, &m, &err) < 0)
		log_warning("the dispatcher said what can't be understood: %s", err.text);
	else if (frame->type == FRAME_EVENT_ACK)
		on_ack(s, (const Cupel__EventAck *)m);
	else
		on_error(s, (const Cupel__Error *)m);
	message_free(m);
}

static void on_up(void *context, const Cupel__Welcome *welcome)
{
	struct sender *s = context;

	log_info("connected to %s", *welcome->software ? welcome->software : "the dispatcher");
	*s->lost = '\0';
	s->sent = 0;
	sender_wake(s);
}

static void on_down(void *context, const char *reason)
{
	struct sender *s = context;

	if (strncmp(s->lost, reason, sizeof(s->lost) - 1) != 0)
		log_warning("no dispatcher: %s; trying again, nothing is skipped", reason);
	(void)snprintf(s->lost, sizeof(s->lost), "%s", reason); /* may be cut */
	s->sent = 0;
}

static void on_refused(void *context, const char *reason)
{
	struct sender *s = context;

	s->callbacks.refused(s->context, reason);
}

/* --- life --------------------------------------------------------------- */

int sender_new(struct event_base *base, const struct sender_options *options,
	       const struct sender_callbacks *callbacks, void *context, struct sender **out,
	       struct error *err)
{
	static const struct dial_callbacks dialled = {
		.up = on_up, .frame = on_frame, .down = on_down, .refused = on_refused};
	owned(sender) *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return error_set(err, ENOMEM, "connection to the dispatcher");
	s->callbacks = *callbacks;
	s->context = context;
	s->rest_min_ms = options->rest_min_ms ? options->rest_min_ms : 500;
	s->rest_max_ms = options->rest_max_ms ? options->rest_max_ms : 30000;
	s->pump = event_new(base, -1, 0, on_pump, s);
	s->rest = evtimer_new(base, on_rest, s);
	if (!s->pump || !s->rest)
		return error_set(err, ENOMEM, "connection to the dispatcher");
	rc = dial_new(base, &options->dial, &dialled, s, &s->dial, err);
	if (rc < 0)
		return rc;
	*out = give(s);
	return 0;
}

void sender_free(struct sender *s)
{
	if (!s)
		return;
	if (s->dial)
		dial_free(s->dial);
	if (s->pump)
		event_free(s->pump);
	if (s->rest)
		event_free(s->rest);
	for (size_t i = 0; i < SENDER_WINDOW; i++)
		buffer_done(&s->slots[i].bytes);
	free(s);
}

size_t sender_waiting(const struct sender *s)
{
	return s->count;
}
