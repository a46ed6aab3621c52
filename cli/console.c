#include "cli/console.h"

#include "base/clock.h"
#include "cli/picture.h"
#include "proto/dial.h"

struct console {
	struct dial *dial;
	const struct terminal *terminal;
	console_told told;
	void *context;
};

static void on_up(void *context, const Cupel__Welcome *welcome)
{
	struct console *c = context;
	Cupel__FollowRequest wish = CUPEL__FOLLOW_REQUEST__INIT;

	(void)welcome;
	(void)link_send(dial_link(c->dial), FRAME_FOLLOW,
			&wish.base); /* a link that is over tells so */
}

static void on_frame(void *context, const struct frame *frame)
{
	struct console *c = context;
	const struct picture p = {c->terminal->width, c->terminal->colour, clock_wall_ms()};
	owned_buffer text = {0};
	ProtobufCMessage *m;

	if (frame->type != FRAME_RUN || message_unpack(frame, &m, NULL) < 0)
		return; /* nothing to tell */
	if (picture_verdict(&p, (const Cupel__Run *)m, &text) == 0)
		c->told(c->context, text.data);
	message_free(m);
}

/* `up` itself tells when its dispatcher is gone. */
static void on_down(void *context, const char *reason)
{
	(void)context;
	(void)reason;
}

int console_new(struct event_base *base, const char *address, const struct terminal *terminal,
		console_told told, void *context, struct console **out, struct error *err)
{
	static const struct dial_callbacks callbacks = {
		.up = on_up, .frame = on_frame, .down = on_down, .refused = on_down};
	struct dial_options options = {.role = CUPEL__ROLE__ROLE_READER,
				       .name = "cupel-up",
				       .software = "cupel " CUPEL_VERSION};
	owned(console) *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return error_set(err, ENOMEM, "listen to the dispatcher");
	c->terminal = terminal;
	c->told = told;
	c->context = context;
	rc = link_address_parse(address, &options.address, err);
	if (rc == 0)
		rc = dial_new(base, &options, &callbacks, c, &c->dial, err);
	if (rc < 0)
		return rc;
	*out = give(c);
	return 0;
}

void console_free(struct console *c)
{
	if (c->dial)
		dial_free(c->dial);
	free(c);
}
