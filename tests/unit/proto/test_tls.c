#include "rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

#define HERE "127.0.0.1:0"

static void a_token_proves_name_and_role(void **state)
{
	struct rig *r = *state;

	rig_connect(r, HERE);
	assert_false(link_peer(r->server.link)->local);
	assert_string_equal(link_peer(r->server.link)->name, "box-1");
	assert_int_equal(link_peer(r->server.link)->role, CUPEL__ROLE__ROLE_RUNNER);
}

static void frames_arrive_whole(void **state)
{
	struct rig *r = *state;
	static char big[FRAME_PAYLOAD_MAX];

	rig_connect(r, HERE);
	r->server.echo = true;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			link_send_raw(r->client.link, FRAME_LOG, NULL, 0, big, sizeof(big)), 0);
	for (uint64_t i = 0; i < 1000; i++)
		rig_ping(r->client.link, i);
	RUN_UNTIL(r, r->client.frames == 1004);
	assert_true(r->client.bytes > 4 * sizeof(big));
}

static void a_pause_holds_over_tls_too(void **state)
{
	struct rig *r = *state;
	static char piece[LOG_BYTES_MAX];

	rig_connect(r, HERE);
	r->server.pause_in_frame = true;
	for (int i = 0; i < 100; i++)
		assert_int_equal(
			link_send_raw(r->client.link, FRAME_LOG, NULL, 0, piece, sizeof(piece)), 0);
	RUN_UNTIL(r, r->server.frames == 1);
	for (int i = 0; i < 3; i++)
		rig_once(r);
	assert_int_equal(r->server.frames, 1);
	r->server.pause_in_frame = false;
	link_pause(r->server.link, false);
	RUN_UNTIL(r, r->server.frames == 100);
}

static void finishing_is_an_orderly_end(void **state)
{
	struct rig *r = *state;

	rig_connect(r, HERE);
	rig_ping(r->client.link, 1);
	link_finish(r->client.link);
	RUN_UNTIL(r, r->client.closed && r->server.closed);
	assert_int_equal(r->server.frames, 1);
	assert_string_equal(r->server.reason, "the peer closed the connection");
}

/* --- who has no valid token
 * ------------------------------------------------------------------------ */

static void refused(struct rig *r, const struct link_token *token, char *reason)
{
	struct error err = {0};

	if (rig_listen(r, HERE, &err) < 0)
		fail_msg("%s", err.text);
	r->client.keep = true;
	rig_dial(r, token);
	RUN_UNTIL(r, r->client.closed);
	assert_int_equal(link_error(r->client.link), EACCES);
	assert_int_equal(r->client.opened, 0);
	assert_int_equal(r->server.opened, 0);
	assert_int_equal(r->asked, 1);
	strcpy(reason, r->client.reason);
}

static void a_wrong_secret_and_an_unknown_name_are_refused_alike(void **state)
{
	struct rig *r = *state;
	struct link_token wrong = r->token, unknown = r->token;
	char first[400], second[400];

	wrong.secret[31] ^= 1;
	refused(r, &wrong, first);
	link_free(give(r->client.link));
	link_listener_free(give(r->listener));
	r->client = (struct end){.rig = r};
	r->asked = 0;
	r->role = CUPEL__ROLE__ROLE_ADMIN;
	strcpy(r->token.name, "box-2"); /* so that box-1 isn't known any more */
	refused(r, &unknown, second);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "does not accept the join token of box-1"));
}

static void the_listener_goes_on_after_a_refusal(void **state)
{
	struct rig *r = *state;
	struct link_token wrong = r->token;
	char reason[400];

	wrong.secret[0] ^= 1;
	refused(r, &wrong, reason);
	link_free(give(r->client.link));
	r->client = (struct end){.rig = r};
	rig_dial(r, &r->token);
	RUN_UNTIL(r, r->client.opened && r->server.opened);
}

static int raw_tcp(struct rig *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)link_listener_port(r->listener));
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void plain_text_at_the_tls_port_is_refused(void **state)
{
	struct rig *r = *state;
	const uint8_t ping[] = {0, 0, 0, 2, FRAME_PING, 0, 0, 0, 8, 1};
	int64_t end = clock_boot_ms() + DEADLINE_MS;
	uint8_t answer[64];
	ssize_t n = -1;
	int fd;

	assert_int_equal(rig_listen(r, HERE, NULL), 0);
	fd = raw_tcp(r);
	assert_int_equal(write(fd, ping, sizeof(ping)), sizeof(ping));
	while (n != 0 && !(n < 0 && errno == ECONNRESET)) {
		assert_true(clock_boot_ms() < end);
		rig_once(r);
		n = read(fd, answer, sizeof(answer));
	}
	close(fd);
	assert_int_equal(r->server.opened, 0);
	assert_int_equal(r->asked, 0);
}

static void silent_strangers_go_with_the_listener(void **state)
{
	struct rig *r = *state;
	int fd[3];

	assert_int_equal(rig_listen(r, HERE, NULL), 0);
	for (int i = 0; i < 3; i++)
		fd[i] = raw_tcp(r);
	rig_once(r);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

#define SILENT 1100 /* more than a listener shakes hands with at a time */

/* Room for both ends of them. */
static void many_descriptors(void)
{
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	assert_true(files.rlim_max >= 2 * SILENT + 100);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static bool is_open(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void silent_strangers_give_way(void **state)
{
	struct rig *r = *state;
	static int silent[SILENT];
	int64_t start = clock_boot_ms();
	struct error err = {0};

	many_descriptors();
	if (rig_listen(r, HERE, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < SILENT; i++) {
		silent[i] = raw_tcp(r);
		if (i % 64 == 0) /* the kernel's queue is shorter on some boxes */
			rig_once(r);
	}
	rig_dial(r, &r->token);
	RUN_UNTIL(r, r->client.opened && r->server.opened);
	assert_true(clock_boot_ms() - start < 9000); /* the patience with each is 10 s */
	assert_false(is_open(silent[0]));
	assert_true(is_open(silent[SILENT - 200]));
	for (size_t i = 0; i < SILENT; i++)
		(void)close(silent[i]);
}

static void tls_at_a_unix_socket_is_garbage(void **state)
{
	struct rig *r = *state;
	const uint8_t hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	int fd;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	assert_int_equal(write(fd, hello, sizeof(hello)), sizeof(hello));
	close(fd);
	RUN_UNTIL(r, r->server.closed);
	assert_int_equal(r->server.frames, 0);
	assert_non_null(strstr(r->server.reason, "over the limit"));
}

static void a_port_in_use_is_told_with_the_remedy(void **state)
{
	struct rig *r = *state;
	const struct link_listen how = {rig_accept, rig_find, r};
	struct link_listener *second = NULL;
	struct error err = {0};

	assert_int_equal(rig_listen(r, HERE, NULL), 0);
	assert_int_equal(link_listen(r->base, &r->address, 0, &how, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "choose another port"));
}

static void a_port_where_nobody_listens_is_told(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_listen(r, HERE, NULL), 0);
	link_listener_free(give(r->listener));
	rig_dial(r, &r->token);
	RUN_UNTIL(r, r->client.closed);
	assert_non_null(strstr(r->client.reason, "Connection refused"));
}

static void a_name_is_looked_up(void **state)
{
	struct rig *r = *state;

	if (rig_listen(r, "localhost:0", NULL) < 0) {
		print_message("SKIP a_name_is_looked_up: this host has no localhost\n");
		skip();
	}
	rig_dial(r, &r->token);
	RUN_UNTIL(r, (r->client.opened && r->server.opened) || r->client.closed);
	assert_string_equal(r->client.reason, "");
}

static void a_link_may_be_freed_while_it_connects(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_listen(r, HERE, NULL), 0);
	for (int i = 0; i < 4; i++) { /* in every phase */
		rig_dial(r, &r->token);
		for (int k = 0; k < i; k++)
			rig_once(r);
		link_free(give(r->client.link));
		link_free(give(r->server.link));
		RUN_UNTIL(r, !r->server.link);
	}
}

static void without_a_token_nobody_dials_another_box(void **state)
{
	struct rig *r = *state;
	struct error err = {0};

	assert_int_equal(link_address_parse("127.0.0.1:8888", &r->address, NULL), 0);
	assert_int_equal(link_dial(r->base, &r->address, NULL, &end_callbacks, &r->client,
				   &r->client.link, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "cupel enroll"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_proves_name_and_role),
		TEST(frames_arrive_whole),
		TEST(a_pause_holds_over_tls_too),
		TEST(finishing_is_an_orderly_end),
		TEST(a_wrong_secret_and_an_unknown_name_are_refused_alike),
		TEST(the_listener_goes_on_after_a_refusal),
		TEST(plain_text_at_the_tls_port_is_refused),
		TEST(silent_strangers_go_with_the_listener),
		TEST(silent_strangers_give_way),
		TEST(tls_at_a_unix_socket_is_garbage),
		TEST(a_port_in_use_is_told_with_the_remedy),
		TEST(a_port_where_nobody_listens_is_told),
		TEST(a_name_is_looked_up),
		TEST(a_link_may_be_freed_while_it_connects),
		TEST(without_a_token_nobody_dials_another_box),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
