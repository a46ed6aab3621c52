#include "cli/client.h"

#include "base/clock.h"
#include "proto/dial.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS 30000 /* a dispatcher that says nothing for so long hangs */

struct client {
	struct event_base *base;
	struct event *deadline;
	struct dial *dial;
	struct link_token token;
	bool has_token;
	struct dial_options options;
	char address[512]; /* for people */
	bool up, over;     /* welcomed; refused or lost */
	bool late;         /* the deadline struck */
	struct error why;  /* of `over` */
	client_handler handler;
	void *context;
	struct error *err; /* of the stream under way */
	int rc;            /* of the stream under way: 1 while it goes on */
};

int client_address(const struct cli *cli, char *out, size_t size, const char **file,
		   struct error *err)
{
	const char *dispatcher = getenv("CUPEL_DISPATCHER"), *token = getenv("CUPEL_TOKEN");
	char state[4096];
	int rc, used;

	*file = cli->token ? cli->token : token && *token ? token : NULL;
	if (cli->dispatcher)
		used = snprintf(out, size, "%s", cli->dispatcher);
	else if (!cli->token && dispatcher && *dispatcher)
		used = snprintf(out, size, "%s", dispatcher);
	else if (*file)
		used = snprintf(out, size, "%s", "");
	else {
		rc = cli_default_state(state, sizeof(state), err);
		if (rc < 0)
			return rc;
		used = snprintf(out, size, "unix:%s/dispatcher/dispatcher.sock", state);
	}
	if (used < 0 || (size_t)used >= size)
		return error_say(err, EINVAL, "the dispatcher's address is too long");
	return 0;
}

/* --- what the connection tells
 * ---------------------------------------------------------------------- */

static void stop(struct client *c)
{
	(void)event_base_loopbreak(c->base); /* it is running */
}

static void on_up(void *context, const Cupel__Welcome *welcome)
{
	struct client *c = context;

	(void)welcome;
	c->up = true;
	stop(c);
}

static void on_down(void *context, const char *reason)
{
	struct client *c = context;

	(void)error_say(&c->why, ENOTCONN, "%s", reason);
	c->up = false;
	c->over = c->options.once;
	if (c->rc > 0)
		c->rc = -ENOTCONN;
	stop(c);
}

static void on_refused(void *context, const char *reason)
{
	struct client *c = context;

	(void)error_say(&c->why, EACCES, "the dispatcher at %s refuses: %s", c->address, reason);
	c->up = false;
	c->over = true;
	if (c->rc > 0)
		c->rc = -EACCES;
	stop(c);
}

/* What it can't do is said by an error frame instead of the answer. */
static int told_error(const struct frame *frame, struct error *err)
{
	ProtobufCMessage *m = NULL;
	int rc = message_unpack(frame, &m, err);

	if (rc < 0)
		return rc;
	rc = error_say(err, ((Cupel__Error *)m)->code ? (int)((Cupel__Error *)m)->code : EPROTO,
		       "%s", ((Cupel__Error *)m)->text);
	message_free(m);
	return rc;
}

static void on_frame(void *context, const struct frame *frame)
{
	struct client *c = context;

	if (c->rc <= 0)
		return; /* what still comes of a stream that is over */
	if (frame->type == FRAME_ERROR)
		c->rc = told_error(frame, c->err);
	else
		c->rc = c->handler(c->context, frame, c->err);
	if (c->rc <= 0)
		stop(c);
}

static void on_deadline(evutil_socket_t fd, short events, void *context)
{
	struct client *c = context;

	(void)fd;
	(void)events;
	c->late = true;
	stop(c);
}

/* --- opening
 * ---------------------------------------------------------------------------------------- */

static int read_address(struct client *c, const struct cli *cli, struct error *err)
{
	const char *file;
	int rc = client_address(cli, c->address, sizeof(c->address), &file, err);

	if (rc == 0 && file) {
		rc = link_token_read(file, &c->token, err);
		c->has_token = rc == 0;
	}
	if (rc == 0 && *c->address)
		return link_address_parse(c->address, &c->options.address, err);
	if (rc < 0)
		return rc;
	c->options.address = c->token.address;
	(void)snprintf(c->address, sizeof(c->address), "%s:%s", c->token.address.host,
		       c->token.address.port); /* fits */
	return 0;
}

static int prepare(struct client *c, const struct cli *cli, Cupel__Role role, struct error *err)
{
	int rc = read_address(c, cli, err);
	bool local = *c->options.address.path;

	if (rc < 0)
		return rc;
	if (!local && !c->has_token)
		return error_say(
			err, EACCES,
			"%s can only be asked with a token: --token FILE (`cupel enroll NAME "
			"--role submitter`, where the dispatcher runs, makes one)",
			c->address);
	c->options.token = local ? NULL : &c->token;
	c->options.role = role;
	c->options.name = local ? "cupel" : c->token.name;
	c->options.software = "cupel " CUPEL_VERSION;
	c->base = event_base_new();
	c->deadline = c->base ? evtimer_new(c->base, on_deadline, c) : NULL;
	return c->deadline ? 0 : error_set(err, ENOMEM, "start the event loop");
}

/* Runs the loop until it is welcomed or that is out of the question. */
static int dial(struct client *c, bool once, int64_t patience_ms, struct error *err)
{
	static const struct dial_callbacks callbacks = {
		.up = on_up, .frame = on_frame, .down = on_down, .refused = on_refused};
	struct timeval patience = {.tv_sec = patience_ms / 1000};
	int rc;

	c->options.once = once;
	c->over = c->late = false;
	c->rc = 0;
	if (c->dial)
		dial_free(give(c->dial));
	rc = dial_new(c->base, &c->options, &callbacks, c, &c->dial, err);
	if (rc < 0)
		return rc;
	(void)event_add(c->deadline, &patience); /* without memory it waits longer */
	while (!c->up && !c->over && !c->late &&
	       event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0)
		;
	(void)event_del(c->deadline); /* it is ours */
	return c->up ? 0 : -ENOTCONN;
}

/* What went wrong, without the address where it says that, too. */
static const char *cause(const struct client *c)
{
	size_t length = strlen(c->address);
	const char *at = strstr(c->why.text, c->address);

	if (c->late)
		return "it doesn't answer";
	return at && strncmp(at + length, ": ", 2) == 0 ? at + length + 2 : c->why.text;
}

/* A socket that is there, and not for us. */
static bool is_closed_to_us(const char *path)
{
	return *path && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 && errno == EACCES;
}

static int no_dispatcher(const struct client *c, struct error *err)
{
	if (c->why.code == EACCES)
		return error_say(err, EACCES, "%s", c->why.text);
	if (is_closed_to_us(c->options.address.path))
		return error_say(
			err, EACCES,
			"the socket %s is not open to this user (uid %lu): put that uid into `allow_uids:` "
			"of its dispatcher.yml, with a socket where this user can reach it, or ask as the "
			"dispatcher's user",
			c->options.address.path, (unsigned long)geteuid());
	return error_say(
		err, ENOTCONN,
		"no dispatcher at %s: %s. Start one with `cupel up REPO`, or name another with "
		"--dispatcher",
		c->address, cause(c));
}

int client_open(const struct cli *cli, Cupel__Role role, struct client **out, struct error *err)
{
	owned(client) *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return error_set(err, ENOMEM, "connect");
	rc = prepare(c, cli, role, err);
	if (rc < 0)
		return rc;
	if (dial(c, true, ANSWER_MS, err) < 0)
		return err->code ? -err->code : no_dispatcher(c, err);
	*out = give(c);
	return 0;
}

int client_again(struct client *c, struct error *err)
{
	if (c->why.code == EACCES || dial(c, false, CLIENT_PATIENCE_MS, err) < 0)
		return err->code ? -err->code : no_dispatcher(c, err);
	return 0;
}

void client_free(struct client *c)
{
	if (c->dial)
		dial_free(c->dial);
	if (c->deadline)
		event_free(c->deadline);
	if (c->base)
		event_base_free(c->base);
	explicit_bzero(&c->token, sizeof(c->token));
	free(c);
}

struct event_base *client_base(const struct client *c)
{
	return c->base;
}

/* --- asking
 * ----------------------------------------------------------------------------------------- */

static int lost(const struct client *c, struct error *err)
{
	return error_say(err, ENOTCONN, "the connection to the dispatcher at %s was lost: %s",
			 c->address, cause(c));
}

static int converse(struct client *c, uint8_t type, const ProtobufCMessage *request,
		    int64_t patience_ms, struct error *err)
{
	struct timeval patience = {.tv_sec = patience_ms / 1000};
	struct link *link = c->up ? dial_link(c->dial) : NULL;

	if (!link || link_send(link, type, request) < 0)
		return lost(c, err);
	c->rc = 1;
	c->late = false;
	c->err = err;
	if (patience_ms)
		(void)event_add(c->deadline, &patience); /* without memory it waits longer */
	while (c->rc > 0 && !c->late && event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0)
		;
	(void)event_del(c->deadline); /* it is ours */
	if (c->rc > 0 || (c->rc == -ENOTCONN && !err->code))
		c->rc = lost(c, err);
	return c->rc < 0 && !err->code ? error_set(err, -c->rc, "talk to %s", c->address) : c->rc;
}

int client_stream(struct client *c, uint8_t type, const ProtobufCMessage *request,
		  client_handler handler, void *context, struct error *err)
{
	c->handler = handler;
	c->context = context;
	return converse(c, type, request, 0, err);
}

struct answer {
	uint8_t type;
	ProtobufCMessage *m;
};

static int on_answer(void *context, const struct frame *frame, struct error *err)
{
	struct answer *a = context;

	if (frame->type != a->type)
		return 1; /* what is still under way of a stream that was left */
	return message_unpack(frame, &a->m, err);
}

int client_ask(struct client *c, uint8_t type, const ProtobufCMessage *request, uint8_t answer,
	       ProtobufCMessage **out, struct error *err)
{
	struct answer a = {.type = answer};
	int rc;

	c->handler = on_answer;
	c->context = &a;
	rc = converse(c, type, request, ANSWER_MS, err);
	if (rc == 0)
		*out = a.m;
	return rc;
}
