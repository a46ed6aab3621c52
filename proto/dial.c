#include "proto/dial.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 10000
#define WELCOME_MS   15000 /* a little more than the dispatcher's own patience */
#define REASON_MAX   600

struct dial {
	struct event_base *base; /* borrowed */
	struct dial_options options;
	struct dial_callbacks callbacks;
	void *context;
	struct link *link;
	bool welcomed;
	bool was_there; /* the dispatcher; what refuses our token since then may be another */
	bool refused;   /* or the one attempt that was wanted is over */
	uint64_t wait_ms;
	struct event again;    /* the next attempt */
	struct event patience; /* with a dispatcher that says nothing */
};

/* --- the end of an attempt. All of these may free the dial: nothing comes behind them
 * ------------- */

static void hang_up(struct dial *d)
{
	event_del(&d->patience);
	link_free(give(d->link));
	d->welcomed = false;
}

/* Between half and the whole of the wait, so that a thousand runners don't come back at once. */
static uint64_t with_jitter(uint64_t wait_ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0; /* no jitter then */
	return wait_ms / 2 + random % (wait_ms / 2 + 1);
}

static void retry(struct dial *d)
{
	uint64_t wait_ms = with_jitter(d->wait_ms);
	const struct timeval t = {(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)};

	d->wait_ms =
		d->wait_ms * 2 < d->options.retry_max_ms ? d->wait_ms * 2 : d->options.retry_max_ms;
	(void)event_add(&d->again, &t); /* a timer: fails only without memory */
}

static void lost(struct dial *d, const char *why)
{
	char reason[REASON_MAX];

	(void)snprintf(reason, sizeof(reason), "%s",
		       why); /* cut when too long; the link owns `why` */
	hang_up(d);
	if (d->options.once)
		d->refused = true;
	else
		retry(d);
	if (d->callbacks.down)
		d->callbacks.down(d->context, reason);
}

static void refused(struct dial *d, const char *why)
{
	char reason[REASON_MAX];

	(void)snprintf(reason, sizeof(reason), "%s", why); /* as above */
	hang_up(d);
	d->refused = true;
	if (d->callbacks.refused)
		d->callbacks.refused(d->context, reason);
}

/* --- the first frame
 * ------------------------------------------------------------------------------ */

/* Another attempt wouldn't help: a person has to change something first. */
static bool is_final(uint32_t code)
{
	return code == EPROTONOSUPPORT || code == EPROTO || code == EACCES || code == EPERM ||
	       code == EBADMSG || code == EINVAL;
}

static void on_error(struct dial *d, const Cupel__Error *m)
{
	char reason[REASON_MAX];

	(void)snprintf(reason, sizeof(reason), "the dispatcher refuses: %s",
		       m->text); /* may be cut */
	if (is_final(m->code))
		refused(d, reason);
	else
		lost(d, reason);
}

static void on_welcome(struct dial *d, const Cupel__Welcome *m)
{
	if (m->protocol < PROTOCOL_MIN || m->protocol > PROTOCOL_MAX) {
		refused(d, "the dispatcher chose a protocol that was not offered");
		return;
	}
	event_del(&d->patience);
	d->welcomed = d->was_there = true;
	d->wait_ms = d->options.retry_min_ms;
	if (d->callbacks.up)
		d->callbacks.up(d->context, m);
}

static void on_first(struct dial *d, const struct frame *frame)
{
	struct error err = {0};
	ProtobufCMessage *m = NULL;
	char reason[REASON_MAX];

	if (frame->type != FRAME_WELCOME && frame->type != FRAME_ERROR) {
		(void)snprintf(reason, sizeof(reason), "the dispatcher said %s before its welcome",
			       message_name(frame->type)); /* fits */
		lost(d, reason);
		return;
	}
	if (message_unpack(frame, &m, &err) < 0) {
		lost(d, err.text);
		return;
	}
	if (frame->type == FRAME_WELCOME)
		on_welcome(d, (const Cupel__Welcome *)m);
	else
		on_error(d, (const Cupel__Error *)m);
	message_free(m);
}

/* --- the link's events
 * ---------------------------------------------------------------------------- */

static void on_open(void *context, struct link *link)
{
	static const struct timeval patience = {WELCOME_MS / 1000, WELCOME_MS % 1000 * 1000};
	struct dial *d = context;
	Cupel__Hello hello = CUPEL__HELLO__INIT;
	char reason[REASON_MAX];
	int rc;

	hello.protocol_min = PROTOCOL_MIN;
	hello.protocol_max = PROTOCOL_MAX;
	hello.role = d->options.role;
	/* The messages want strings that aren't const; they don't write to them. */
	hello.name = (char *)d->options.name;
	hello.software = (char *)d->options.software;
	if (d->callbacks.hello)
		d->callbacks.hello(d->context, &hello);
	rc = link_send(link, FRAME_HELLO, &hello.base);
	if (rc == 0) {
		(void)event_add(&d->patience, &patience); /* as in retry() */
		return;
	}
	(void)snprintf(reason, sizeof(reason), "the hello can't be sent: %s",
		       strerror(-rc)); /* fits */
	lost(d, reason);
}

static void on_frame(void *context, struct link *link, const struct frame *frame)
{
	struct dial *d = context;

	(void)link;
	if (d->welcomed)
		d->callbacks.frame(d->context, frame);
	else
		on_first(d, frame);
}

static void on_drained(void *context, struct link *link)
{
	struct dial *d = context;

	(void)link;
	if (d->welcomed && d->callbacks.drained)
		d->callbacks.drained(d->context);
}

static void on_closed(void *context, struct link *link, const char *reason)
{
	struct dial *d = context;
	bool token_refused = !d->welcomed && link_error(link) == EACCES && d->options.token;

	if (token_refused && !d->was_there) {
		refused(d, reason);
		return;
	}
	if (token_refused) /* nothing proves who said so: a person may have to act, or not */
		d->wait_ms = d->options.retry_max_ms;
	lost(d, reason);
}

static void on_silence(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lost(context, "the dispatcher does not answer the hello");
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
	static const struct link_callbacks callbacks = {on_open, on_frame, on_drained, on_closed};
	struct dial *d = context;
	struct error err = {0};

	(void)fd;
	(void)what;
	if (link_dial(d->base, &d->options.address, d->options.token, &callbacks, d, &d->link,
		      &err) < 0)
		lost(d, err.text);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

int dial_new(struct event_base *base, const struct dial_options *options,
	     const struct dial_callbacks *callbacks, void *context, struct dial **out,
	     struct error *err)
{
	static const struct timeval now = {0, 0};
	owned(dial) *d = NULL;

	if (!*options->address.path && !options->token)
		return error_say(err, EINVAL,
				 "a dispatcher on another box needs a join token (cupel enroll "
				 "prints one)");
	d = calloc(1, sizeof(*d));
	if (!d)
		return error_set(err, ENOMEM, "dial");
	d->base = base;
	d->options = *options;
	if (!d->options.retry_min_ms)
		d->options.retry_min_ms = RETRY_MIN_MS;
	if (!d->options.retry_max_ms)
		d->options.retry_max_ms = RETRY_MAX_MS;
	d->wait_ms = d->options.retry_min_ms;
	d->was_there = options->was_there;
	d->callbacks = *callbacks;
	d->context = context;
	event_assign(&d->again, base, -1, 0, on_again, d);
	event_assign(&d->patience, base, -1, 0, on_silence, d);
	if (event_add(&d->again, &now) < 0)
		return error_set(err, ENOMEM, "dial");
	*out = give(d);
	return 0;
}

struct link *dial_link(const struct dial *d)
{
	return d->welcomed ? d->link : NULL;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	event_del(&d->again);
	hang_up(d);
	free(d);
}
