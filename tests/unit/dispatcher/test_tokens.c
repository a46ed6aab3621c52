/* Join tokens, over TLS on the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/dispatcher/rig.h"

static char unix_address[128];

static int setup(void **state)
{
	int rc = rig_setup(state);

	rig_stop();
	(void)snprintf(unix_address, sizeof(unix_address), "unix:%s/dispatcher.sock", scratch_path);
	rig.options.listen[0] = unix_address;
	rig.options.listen[1] = "127.0.0.1:0";
	rig.options.listen_count = 2;
	rig_start();
	return rc;
}

static struct link_token enroll(struct peer *admin, const char *name, Cupel__Role role)
{
	Cupel__Enroll m = CUPEL__ENROLL__INIT;
	struct link_token token;
	struct error err = {0};
	const Cupel__Token *answer;

	m.name = (char *)name;
	m.role = role;
	peer_send(admin, FRAME_ENROLL, &m.base);
	answer = peer_wait(admin, FRAME_TOKEN);
	if (link_token_parse(answer->token, &token, &err) < 0)
		fail_msg("%s: %s", answer->token, err.text);
	return token;
}

static struct peer *dial_with(const struct link_token *token)
{
	static const struct link_callbacks callbacks = {.frame = peer_frame, .closed = peer_closed};
	struct peer *p = calloc(1, sizeof(*p));
	struct error err = {0};

	TAILQ_INIT(&p->heard);
	if (link_dial(rig.base, &token->address, token, &callbacks, p, &p->link, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

static void a_token_lets_its_bearer_in_as_what_it_says(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "box1", ROLE(RUNNER));
	owned(peer) *r = dial_with(&token);

	(void)state;
	assert_string_equal(token.name, "box1");
	runner_hello(r, "box1", 1, 1, NULL, 0);
	(void)peer_wait(r, FRAME_WELCOME);
	(void)submit(admin);
	(void)take(r);
}

static void another_role_or_name_than_the_tokens_is_refused(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "box1", ROLE(RUNNER));
	owned(peer) *p = dial_with(&token);
	owned(peer) *q = dial_with(&token);

	(void)state;
	hello(p, ROLE(ADMIN), "box1", NULL);
	assert_non_null(strstr(((const Cupel__Error *)peer_wait(p, FRAME_ERROR))->text,
			       "its token is for something else"));
	peer_wait_closed(p);
	runner_hello(q, "box2", 1, 1, NULL, 0);
	(void)peer_wait(q, FRAME_ERROR);
	peer_wait_closed(q);
}

static void a_role_includes_what_it_includes(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "dev", ROLE(SUBMITTER));
	owned(peer) *p = dial_with(&token);

	(void)state;
	hello(p, ROLE(READER), "dev", NULL);
	(void)peer_wait(p, FRAME_WELCOME);
}

static void a_wrong_secret_gets_nowhere(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "box1", ROLE(RUNNER));
	owned(peer) *p = NULL;

	(void)state;
	token.secret[0] ^= 1;
	p = dial_with(&token);
	runner_hello(p, "box1", 1, 1, NULL, 0);
	peer_wait_closed(p);
	assert_null(peer_heard(p, FRAME_WELCOME));
}

static void a_revoked_token_closes_its_connections_and_opens_none(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "box1", ROLE(RUNNER));
	owned(peer) *r = dial_with(&token);
	owned(peer) *again = NULL;
	Cupel__Enroll m = CUPEL__ENROLL__INIT;

	(void)state;
	runner_hello(r, "box1", 1, 1, NULL, 0);
	(void)peer_wait(r, FRAME_WELCOME);
	m.name = (char *)"box1";
	m.revoke = true;
	peer_send(admin, FRAME_ENROLL, &m.base);
	(void)peer_wait(admin, FRAME_DONE);
	peer_wait_closed(r);
	again = dial_with(&token);
	runner_hello(again, "box1", 1, 1, NULL, 0);
	peer_wait_closed(again);
	assert_null(peer_heard(again, FRAME_WELCOME));
}

static void a_name_that_is_there_keeps_its_secret_unless_it_is_to_be_replaced(void **state)
{
	owned(peer) *admin = client(ROLE(ADMIN));
	struct link_token token = enroll(admin, "box1", ROLE(RUNNER));
	owned(peer) *before = NULL, *after = NULL;
	Cupel__Enroll m = CUPEL__ENROLL__INIT;
	const Cupel__Error *refusal;

	(void)state;
	m.name = (char *)"box1";
	m.role = ROLE(READER);
	peer_send(admin, FRAME_ENROLL, &m.base);
	refusal = peer_wait(admin, FRAME_ERROR);
	assert_int_equal(refusal->code, EEXIST);
	assert_non_null(strstr(refusal->text, "token of box1 already, for a runner: --replace"));
	before = dial_with(&token);
	runner_hello(before, "box1", 1, 1, NULL, 0);
	(void)peer_wait(before, FRAME_WELCOME);
	m.replace = true;
	peer_send(admin, FRAME_ENROLL, &m.base);
	(void)peer_wait(admin, FRAME_TOKEN);
	after = dial_with(&token);
	runner_hello(after, "box1", 1, 1, NULL, 0);
	peer_wait_closed(after);
	assert_null(peer_heard(after, FRAME_WELCOME));
}

static void without_a_tcp_listener_a_token_is_refused_in_words(void **state)
{
	owned(peer) *admin = NULL;
	Cupel__Enroll m = CUPEL__ENROLL__INIT;

	(void)state;
	rig_stop();
	rig.options.listen_count = 0;
	rig_start();
	admin = client(ROLE(ADMIN));
	m.name = (char *)"box1";
	m.role = ROLE(RUNNER);
	peer_send(admin, FRAME_ENROLL, &m.base);
	assert_non_null(strstr(((const Cupel__Error *)peer_wait(admin, FRAME_ERROR))->text,
			       "--listen HOST:PORT"));
}

static void a_token_that_nobody_could_dial_is_refused_in_words(void **state)
{
	owned(peer) *admin = NULL;
	Cupel__Enroll m = CUPEL__ENROLL__INIT;

	(void)state;
	rig_stop();
	rig.options.listen[1] = "0.0.0.0:0";
	rig_start();
	admin = client(ROLE(ADMIN));
	m.name = (char *)"box1";
	m.role = ROLE(RUNNER);
	peer_send(admin, FRAME_ENROLL, &m.base);
	assert_non_null(strstr(((const Cupel__Error *)peer_wait(admin, FRAME_ERROR))->text,
			       "--advertise HOST:PORT"));
	rig_stop();
	rig.options.advertise = "ci.example.org:8888";
	rig_start();
	peer_free(give(admin));
	admin = client(ROLE(ADMIN));
	assert_string_equal(enroll(admin, "box1", ROLE(RUNNER)).address.host, "ci.example.org");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_token_lets_its_bearer_in_as_what_it_says),
		test(another_role_or_name_than_the_tokens_is_refused),
		test(a_role_includes_what_it_includes),
		test(a_wrong_secret_gets_nowhere),
		test(a_revoked_token_closes_its_connections_and_opens_none),
		test(a_name_that_is_there_keeps_its_secret_unless_it_is_to_be_replaced),
		test(without_a_tcp_listener_a_token_is_refused_in_words),
		test(a_token_that_nobody_could_dial_is_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
