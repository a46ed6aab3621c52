#include "rig.h"

#include "proto/dial.h"
#include "proto/hello.h"

struct client {
	struct dial *dial;
	unsigned ups, downs, refusals, frames, hellos;
	char reason[700];
	bool free_in_up, free_in_down, free_in_frame, was_there;
};

/* The server's answer to the next hello. */
static struct {
	bool silent;
	int refuse; /* the code of an ERROR */
	Cupel__Hello *hello;
} server;

static void on_server_frame(void *context, struct link *link, const struct frame *frame)
{
	struct end *e = context;
	Cupel__Welcome welcome = CUPEL__WELCOME__INIT;
	ProtobufCMessage *m = NULL;

	e->frames++;
	if (frame->type == FRAME_PING)
		assert_int_equal(
			link_send_raw(link, FRAME_PONG, NULL, 0, frame->payload, frame->length), 0);
	if (frame->type != FRAME_HELLO || server.silent)
		return;
	assert_int_equal(message_unpack(frame, &m, NULL), 0);
	message_free((ProtobufCMessage *)server.hello);
	server.hello = (Cupel__Hello *)m;
	if (server.refuse) {
		assert_int_equal(link_send_error(link, server.refuse, "go away"), 0);
		link_finish(link);
		return;
	}
	welcome.protocol = 1;
	assert_int_equal(link_send(link, FRAME_WELCOME, &welcome.base), 0);
}

static bool on_accept(void *context, struct link *link)
{
	static const struct link_callbacks callbacks = {.frame = on_server_frame,
							.closed = end_closed};
	struct rig *r = context;

	r->server.opened++;
	r->server.link = link;
	link_set_callbacks(link, &callbacks, &r->server);
	return true;
}

static void listen_here(struct rig *r, const char *address)
{
	const struct link_listen how = {on_accept, rig_find, r};
	struct error err = {0};

	if (link_address_parse(address, &r->address, &err) < 0 ||
	    link_listen(r->base, &r->address, 0600, &how, &r->listener, &err) < 0)
		fail_msg("%s", err.text);
	if (*r->address.host)
		(void)snprintf(r->address.port, sizeof(r->address.port), "%u",
			       link_listener_port(r->listener));
}

static void on_hello(void *context, Cupel__Hello *hello)
{
	struct client *c = context;

	c->hellos++;
	hello->software = (char *)"test 2";
}

static void on_up(void *context, const Cupel__Welcome *welcome)
{
	struct client *c = context;

	c->ups++;
	assert_int_equal(welcome->protocol, 1);
	if (c->free_in_up)
		dial_free(give(c->dial));
}

static void on_frame(void *context, const struct frame *frame)
{
	struct client *c = context;

	(void)frame;
	c->frames++;
	if (c->free_in_frame)
		dial_free(give(c->dial));
}

static void on_down(void *context, const char *reason)
{
	struct client *c = context;

	c->downs++;
	(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
	if (c->free_in_down)
		dial_free(give(c->dial));
}

static void on_refused(void *context, const char *reason)
{
	struct client *c = context;

	c->refusals++;
	(void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
	dial_free(give(c->dial));
}

static void dial(struct rig *r, struct client *c, const struct link_token *token, bool once)
{
	static const struct dial_callbacks callbacks = {.hello = on_hello,
							.up = on_up,
							.frame = on_frame,
							.down = on_down,
							.refused = on_refused};
	const struct dial_options options = {.address = r->address,
					     .token = token,
					     .role = CUPEL__ROLE__ROLE_OBSERVER,
					     .name = "box-1",
					     .software = "test 1",
					     .retry_min_ms = 4,
					     .retry_max_ms = 20,
					     .once = once,
					     .was_there = c->was_there};
	struct error err = {0};

	if (dial_new(r->base, &options, &callbacks, c, &c->dial, &err) < 0)
		fail_msg("%s", err.text);
	assert_null(dial_link(c->dial));
}

static int setup(void **state)
{
	memset(&server, 0, sizeof(server));
	return rig_setup(state);
}

static int teardown(void **state)
{
	message_free((ProtobufCMessage *)server.hello);
	return rig_teardown(state);
}

/* ------------------------------------------------------------------------ */

static void hello_and_welcome(void **state)
{
	struct rig *r = *state;
	struct client c = {0};

	listen_here(r, r->path);
	dial(r, &c, NULL, false);
	assert_int_equal(c.hellos, 0);
	RUN_UNTIL(r, c.ups == 1);
	assert_string_equal(server.hello->name, "box-1");
	assert_string_equal(server.hello->software, "test 2");
	assert_int_equal(server.hello->role, CUPEL__ROLE__ROLE_OBSERVER);
	assert_int_equal(server.hello->protocol_max, PROTOCOL_MAX);
	rig_ping(dial_link(c.dial), 3);
	RUN_UNTIL(r, c.frames == 1);
	dial_free(c.dial);
}

static void over_tls_too(void **state)
{
	struct rig *r = *state;
	struct client c = {0};

	listen_here(r, "127.0.0.1:0");
	dial(r, &c, &r->token, false);
	RUN_UNTIL(r, c.ups == 1);
	dial_free(c.dial);
}

static void it_comes_back_after_the_server_was_away(void **state)
{
	struct rig *r = *state;
	struct client c = {0};

	assert_int_equal(link_address_parse(r->path, &r->address, NULL), 0);
	dial(r, &c, NULL, false);
	RUN_UNTIL(r, c.downs == 3);
	assert_non_null(strstr(c.reason, "No such file"));
	listen_here(r, r->path);
	RUN_UNTIL(r, c.ups == 1);
	link_listener_free(give(r->listener));
	link_free(give(r->server.link));
	RUN_UNTIL(r, c.downs >= 5);
	assert_null(dial_link(c.dial));
	listen_here(r, r->path);
	RUN_UNTIL(r, c.ups == 2);
	assert_non_null(dial_link(c.dial));
	assert_true(c.hellos >= 2);
	dial_free(c.dial);
}

static void a_refusal_is_final(void **state)
{
	static const int final[] = {EPROTONOSUPPORT, EACCES, EPERM, EPROTO};
	struct rig *r = *state;

	listen_here(r, r->path);
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
		struct client c = {0};

		server.refuse = final[i];
		dial(r, &c, NULL, false);
		RUN_UNTIL(r, c.refusals == 1);
		assert_string_equal(c.reason, "the dispatcher refuses: go away");
		assert_int_equal(c.downs + c.ups, 0);
		RUN_UNTIL(r, !r->server.link);
	}
}

static void a_busy_dispatcher_is_tried_again(void **state)
{
	struct rig *r = *state;
	struct client c = {0};

	listen_here(r, r->path);
	server.refuse = EBUSY;
	dial(r, &c, NULL, false);
	RUN_UNTIL(r, c.downs == 2);
	server.refuse = 0;
	RUN_UNTIL(r, c.ups == 1);
	dial_free(c.dial);
	RUN_UNTIL(r, !r->server.link);
}

static void an_unknown_token_is_final(void **state)
{
	struct rig *r = *state;
	struct link_token wrong = r->token;
	struct client c = {0};

	listen_here(r, "127.0.0.1:0");
	wrong.secret[5] ^= 4;
	dial(r, &c, &wrong, false);
	RUN_UNTIL(r, c.refusals == 1);
	assert_non_null(strstr(c.reason, "enroll it anew"));
}

/* An alert before the handshake proves nothing: whoever took the port can send it. */
static void a_token_that_was_good_is_dialled_with_again(void **state)
{
	struct rig *r = *state;
	struct link_token mine = r->token;
	struct client c = {0};

	listen_here(r, "127.0.0.1:0");
	dial(r, &c, &mine, false);
	RUN_UNTIL(r, c.ups == 1);
	r->token.secret[5] ^= 4;
	link_free(give(r->server.link));
	RUN_UNTIL(r, c.downs + c.refusals == 4);
	assert_int_equal(c.refusals, 0);
	assert_non_null(strstr(c.reason, "enroll it anew"));
	r->token.secret[5] ^= 4;
	RUN_UNTIL(r, c.ups == 2);
	dial_free(c.dial);
}

static void a_token_that_was_good_in_another_life_too(void **state)
{
	struct rig *r = *state;
	struct link_token wrong = r->token;
	struct client c = {.was_there = true};

	listen_here(r, "127.0.0.1:0");
	wrong.secret[5] ^= 4;
	dial(r, &c, &wrong, false);
	RUN_UNTIL(r, c.downs + c.refusals == 2);
	assert_int_equal(c.refusals, 0);
	dial_free(c.dial);
}

static void once_is_once(void **state)
{
	struct rig *r = *state;
	struct client c = {0};

	assert_int_equal(link_address_parse(r->path, &r->address, NULL), 0);
	dial(r, &c, NULL, true);
	RUN_UNTIL(r, c.downs == 1);
	for (int i = 0; i < 3; i++) /* more than the back-off each */
		rig_once(r);
	assert_int_equal(c.downs, 1);
	dial_free(c.dial);
}

static void it_may_be_freed_in_its_callbacks(void **state)
{
	struct rig *r = *state;
	struct client up = {.free_in_up = true}, down = {.free_in_down = true},
		      frame = {.free_in_frame = true};

	assert_int_equal(link_address_parse(r->path, &r->address, NULL), 0);
	dial(r, &down, NULL, false);
	RUN_UNTIL(r, down.downs == 1);
	listen_here(r, r->path);
	dial(r, &up, NULL, false);
	RUN_UNTIL(r, up.ups == 1 && !r->server.link);
	dial(r, &frame, NULL, false);
	RUN_UNTIL(r, frame.ups == 1);
	rig_ping(dial_link(frame.dial), 1);
	RUN_UNTIL(r, frame.frames == 1 && !r->server.link);
}

/* --- what a dispatcher makes of a hello
 * ---------------------------------------------------------------- */

static void versions_are_negotiated(void **state)
{
	Cupel__Hello m = CUPEL__HELLO__INIT;
	struct error err = {0};
	uint32_t protocol = 0;

	(void)state;
	m.role = CUPEL__ROLE__ROLE_READER;
	m.protocol_min = 1;
	m.protocol_max = 7;
	assert_int_equal(hello_check(&m, &protocol, &err), 0);
	assert_int_equal(protocol, PROTOCOL_MAX);
	m.protocol_min = 90;
	m.protocol_max = 99;
	assert_int_equal(hello_check(&m, &protocol, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "you speak 90 to 99"));
	m.protocol_min = 0;
	m.protocol_max = 0;
	assert_int_equal(hello_check(&m, &protocol, &err), -EPROTONOSUPPORT);
	m.protocol_min = 5;
	m.protocol_max = 1;
	assert_int_equal(hello_check(&m, &protocol, &err), -EPROTONOSUPPORT);
}

static void a_role_and_what_it_tells_must_fit(void **state)
{
	Cupel__Hello m = CUPEL__HELLO__INIT;
	Cupel__RunnerInfo runner = CUPEL__RUNNER_INFO__INIT;
	uint32_t protocol;

	(void)state;
	m.protocol_min = m.protocol_max = 1;
	assert_int_equal(hello_check(&m, &protocol, NULL), -EPROTO);
	m.role = CUPEL__ROLE__ROLE_RUNNER;
	assert_int_equal(hello_check(&m, &protocol, NULL), -EPROTO);
	m.runner = &runner;
	assert_int_equal(hello_check(&m, &protocol, NULL), 0);
	m.role = CUPEL__ROLE__ROLE_ADMIN;
	assert_int_equal(hello_check(&m, &protocol, NULL), -EPROTO);
}

static void roles_include_lesser_ones(void **state)
{
	const Cupel__Role admin = CUPEL__ROLE__ROLE_ADMIN, submitter = CUPEL__ROLE__ROLE_SUBMITTER,
			  reader = CUPEL__ROLE__ROLE_READER, runner = CUPEL__ROLE__ROLE_RUNNER;

	(void)state;
	assert_true(hello_role_includes(admin, submitter));
	assert_true(hello_role_includes(admin, reader));
	assert_true(hello_role_includes(submitter, reader));
	assert_true(hello_role_includes(runner, runner));
	assert_false(hello_role_includes(reader, submitter));
	assert_false(hello_role_includes(submitter, admin));
	assert_false(hello_role_includes(runner, reader));
	assert_false(hello_role_includes(admin, runner));
	assert_false(hello_role_includes(admin, CUPEL__ROLE__ROLE_NONE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_and_welcome),
		TEST(over_tls_too),
		TEST(it_comes_back_after_the_server_was_away),
		TEST(a_refusal_is_final),
		TEST(a_busy_dispatcher_is_tried_again),
		TEST(an_unknown_token_is_final),
		TEST(a_token_that_was_good_is_dialled_with_again),
		TEST(a_token_that_was_good_in_another_life_too),
		TEST(once_is_once),
		TEST(it_may_be_freed_in_its_callbacks),
		cmocka_unit_test(versions_are_negotiated),
		cmocka_unit_test(a_role_and_what_it_tells_must_fit),
		cmocka_unit_test(roles_include_lesser_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
