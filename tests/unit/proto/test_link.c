#include "rig.h"

#include <signal.h>
#include <sys/wait.h>

/* --- frames go over ----------------------------------------------------- */

static void frames_arrive_whole(void **state)
{
	struct rig *r = *state;
	static char big[FRAME_PAYLOAD_MAX];

	rig_connect(r, r->path);
	r->server.echo = true;
	memset(big, 7, sizeof(big));
	rig_ping(r->client.link, 1);
	assert_int_equal(link_send_raw(r->client.link, FRAME_LOG, "head", 4, big, sizeof(big) - 4),
			 0);
	assert_int_equal(link_send_raw(r->client.link, FRAME_LOG, NULL, 0, NULL, 0), 0);
	RUN_UNTIL(r, r->client.frames == 3);
	assert_int_equal(r->client.bytes, 2 + sizeof(big));
	assert_int_equal(link_queued(r->client.link), 0);
}

static void a_frame_over_the_limit_is_not_sent(void **state)
{
	struct rig *r = *state;
	static char big[FRAME_PAYLOAD_MAX + 1];

	rig_connect(r, r->path);
	assert_int_equal(link_send_raw(r->client.link, FRAME_LOG, NULL, 0, big, sizeof(big)),
			 -EMSGSIZE);
	assert_int_equal(link_send_raw(r->client.link, FRAME_LOG, "x", 1, big, sizeof(big) - 1),
			 -EMSGSIZE);
	assert_int_equal(link_queued(r->client.link), 0);
}

static void frames_cut_at_every_byte_arrive(void **state)
{
	struct rig *r = *state;
	uint8_t bytes[FRAME_HEAD + 2] = {0, 0, 0, 2, FRAME_PING, 0, 0, 0, 8, 1};
	int fd;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(r->server.frames, 0);
		assert_int_equal(write(fd, bytes + i, 1), 1);
		rig_once(r);
	}
	RUN_UNTIL(r, r->server.frames == 1);
	assert_int_equal(r->server.last, FRAME_PING);
	close(fd);
}

static void the_kernel_says_who_the_peer_is(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	assert_true(link_peer(r->server.link)->local);
	assert_int_equal(link_peer(r->server.link)->uid, getuid());
	assert_int_equal(link_peer(r->server.link)->pid, getpid());
	assert_int_equal(link_peer(r->server.link)->role, CUPEL__ROLE__ROLE_NONE);
	assert_string_equal(link_peer(r->server.link)->name, "");
	assert_int_equal(link_peer(r->client.link)->uid, getuid());
}

static void what_is_sent_before_it_is_open_goes_when_it_is(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	rig_dial(r, NULL);
	rig_ping(r->client.link, 1);
	RUN_UNTIL(r, r->server.frames == 1);
}

/* --- garbage
 * -------------------------------------------------------------------------------------- */

static size_t read_all(int fd, struct rig *r, uint8_t *out, size_t size)
{
	int64_t end = clock_boot_ms() + DEADLINE_MS;
	size_t got = 0;

	while (clock_boot_ms() < end) {
		ssize_t n = read(fd, out + got, size - got);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return got;
		if (n > 0)
			got += (size_t)n;
		rig_once(r);
	}
	fail_msg("the link stays open");
	return 0;
}

static void an_oversized_frame_is_told_once_and_ends_the_link(void **state)
{
	struct rig *r = *state;
	const uint8_t head[] = {0, 16, 0, 1, FRAME_PING, 0, 0, 0, 0, 16, 0, 1, 9, 9};
	uint8_t answer[512];
	struct frame frame;
	ProtobufCMessage *m = NULL;
	size_t got;
	int fd;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	got = read_all(fd, r, answer, sizeof(answer));
	assert_int_equal(frame_parse(answer, got, &frame), got);
	assert_int_equal(message_unpack(&frame, &m, NULL), 0);
	assert_int_equal(((Cupel__Error *)m)->code, EMSGSIZE);
	message_free(m);
	close(fd);
	RUN_UNTIL(r, r->server.closed);
	assert_string_equal(
		r->server.reason,
		"it sent garbage: a frame of 1048577 bytes is over the limit of 1048576");
	assert_int_equal(r->server.frames, 0);
}

static void frames_before_garbage_are_delivered(void **state)
{
	struct rig *r = *state;
	const uint8_t bytes[] = {0, 0, 0, 0, FRAME_PING, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0};
	int fd;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	RUN_UNTIL(r, r->server.closed);
	assert_int_equal(r->server.frames, 1);
	assert_non_null(strstr(r->server.reason, "4294967295"));
}

static void an_end_within_a_frame_is_told(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	assert_int_equal(write(fd, "\0\0\0\5\5", 5), 5);
	close(fd);
	RUN_UNTIL(r, r->server.closed);
	assert_string_equal(r->server.reason, "the connection ended in the middle of a frame");
}

static void who_stops_talking_still_hears_the_answer(void **state)
{
	struct rig *r = *state;
	const uint8_t ping[] = {0, 0, 0, 2, FRAME_PING, 0, 0, 0, 8, 1};
	uint8_t answer[64];
	int fd;

	r->server.echo = true;
	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	fd = rig_raw_unix(r);
	assert_int_equal(write(fd, ping, sizeof(ping)), sizeof(ping));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(read_all(fd, r, answer, sizeof(answer)), sizeof(ping));
	assert_int_equal(answer[4], FRAME_PONG);
	close(fd);
}

/* --- back-pressure
 * --------------------------------------------------------------------------------- */

static void a_paused_reader_holds_the_sender_not_the_memory(void **state)
{
	struct rig *r = *state;
	static char piece[LOG_BYTES_MAX];
	const size_t pieces = 400; /* 100 MB */
	size_t all = pieces * (FRAME_HEAD + sizeof(piece));

	rig_connect(r, r->path);
	link_pause(r->server.link, true);
	for (size_t i = 0; i < pieces; i++)
		assert_int_equal(
			link_send_raw(r->client.link, FRAME_LOG, NULL, 0, piece, sizeof(piece)), 0);
	assert_int_equal(link_queued(r->client.link), all);
	for (int i = 0; i < 3; i++)
		rig_once(r);
	assert_true(link_queued(r->client.link) > all - (4 << 20)); /* what the kernel holds */
	assert_int_equal(r->server.frames, 0);
	assert_int_equal(r->client.drained, 0);

	link_pause(r->server.link, false);
	RUN_UNTIL(r, r->server.frames == pieces);
	assert_int_equal(r->server.bytes, pieces * sizeof(piece));
	RUN_UNTIL(r, r->client.drained == 1);
	assert_int_equal(link_queued(r->client.link), 0);
}

static void pausing_within_a_frame_keeps_the_next_ones(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	r->server.pause_in_frame = true;
	for (uint64_t i = 0; i < 3; i++)
		rig_ping(r->client.link, i);
	RUN_UNTIL(r, r->server.frames == 1);
	rig_once(r);
	assert_int_equal(r->server.frames, 1);
	link_pause(r->server.link, false);
	assert_int_equal(r->server.frames, 1); /* never from within a call */
	RUN_UNTIL(r, r->server.frames == 2);
	r->server.pause_in_frame = false;
	link_pause(r->server.link, false);
	RUN_UNTIL(r, r->server.frames == 3);
}

/* --- the end
 * --------------------------------------------------------------------------------------- */

static void a_link_may_be_freed_in_its_callbacks(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	r->server.free_in_frame = true;
	rig_ping(r->client.link, 1);
	rig_ping(r->client.link, 2);
	RUN_UNTIL(r, r->client.closed);
	assert_int_equal(r->server.frames, 1);
	assert_int_equal(r->server.closed, 0);
}

static void finishing_writes_what_is_queued(void **state)
{
	struct rig *r = *state;
	static char piece[LOG_BYTES_MAX];

	rig_connect(r, r->path);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
			link_send_raw(r->client.link, FRAME_LOG, NULL, 0, piece, sizeof(piece)), 0);
	link_finish(r->client.link);
	assert_int_equal(r->client.closed, 0); /* never from within a call */
	assert_int_equal(link_send_raw(r->client.link, FRAME_LOG, NULL, 0, NULL, 0), -EPIPE);
	RUN_UNTIL(r, r->client.closed && r->server.closed);
	assert_int_equal(r->server.frames, 20);
	assert_string_equal(r->server.reason, "the peer closed the connection");
	assert_string_equal(r->client.reason, "closed by this side");
}

static void finishing_in_a_callback_delivers_nothing_more(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	r->server.finish_in_frame = true;
	rig_ping(r->client.link, 1);
	rig_ping(r->client.link, 2);
	RUN_UNTIL(r, r->client.closed && r->server.closed);
	assert_int_equal(r->server.frames, 1);
}

static void last_words_are_heard_though_sending_fails(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	assert_int_equal(link_send_error(r->server.link, EACCES, "no"), 0);
	link_finish(r->server.link);
	for (int i = 0; i < 100; i++)
		rig_ping(r->client.link, 1);
	RUN_UNTIL(r, r->client.closed);
	assert_int_equal(r->client.error, EACCES);
}

static void a_broken_link_takes_nothing_more(void **state)
{
	struct rig *r = *state;

	rig_connect(r, r->path);
	r->client.keep = true;
	link_free(give(r->server.link));
	RUN_UNTIL(r, r->client.closed);
	assert_int_equal(link_send_raw(r->client.link, FRAME_PING, NULL, 0, NULL, 0), -EPIPE);
	link_finish(r->client.link);
	link_pause(r->client.link, true);
	rig_once(r);
	assert_int_equal(r->client.closed, 1);
}

static void nobody_there_is_told_later(void **state)
{
	struct rig *r = *state;

	assert_int_equal(link_address_parse(r->path, &r->address, NULL), 0);
	rig_dial(r, NULL);
	assert_int_equal(r->client.closed, 0);
	RUN_UNTIL(r, r->client.closed);
	assert_non_null(strstr(r->client.reason, "No such file"));
}

static void a_peer_that_accept_refuses_is_closed(void **state)
{
	struct rig *r = *state;

	r->refuse = true;
	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	rig_dial(r, NULL);
	RUN_UNTIL(r, r->client.closed);
}

/* --- listening
 * -------------------------------------------------------------------------------------- */

static void a_stale_socket_is_replaced(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, r->path + strlen("unix:"));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	rig_connect(r, r->path);
}

static void a_socket_in_use_is_left_alone(void **state)
{
	struct rig *r = *state;
	const struct link_listen how = {rig_accept, rig_find, r};
	struct link_listener *second = NULL;
	struct error err = {0};

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	assert_int_equal(link_listen(r->base, &r->address, 0600, &how, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another process answers there"));
	rig_dial(r, NULL);
	/* The first to be accepted is the second listener's look whether anybody answers. */
	RUN_UNTIL(r, r->client.opened && r->server.opened == 2 && r->server.closed == 1);
}

static void a_file_is_not_replaced(void **state)
{
	struct rig *r = *state;
	struct error err = {0};
	int fd = open(r->path + strlen("unix:"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(rig_listen(r, r->path, &err), -EEXIST);
	assert_int_equal(access(r->path + strlen("unix:"), F_OK), 0);
}

static void the_mode_holds_despite_the_umask(void **state)
{
	struct rig *r = *state;
	const struct link_listen how = {rig_accept, rig_find, r};
	mode_t old = umask(077);
	struct stat st;
	struct error err = {0};

	assert_int_equal(link_address_parse(r->path, &r->address, NULL), 0);
	if (link_listen(r->base, &r->address, 0666, &how, &r->listener, &err) < 0)
		fail_msg("%s", err.text);
	umask(old);
	assert_int_equal(stat(r->address.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
}

static void a_listener_removes_its_own_socket_only(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	link_listener_free(give(r->listener));
	assert_int_equal(access(r->address.path, F_OK), -1);

	assert_int_equal(rig_listen(r, r->path, NULL), 0);
	assert_int_equal(unlink(r->address.path), 0);
	close(open(r->address.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	link_listener_free(give(r->listener));
	assert_int_equal(access(r->address.path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_arrive_whole),
		TEST(a_frame_over_the_limit_is_not_sent),
		TEST(frames_cut_at_every_byte_arrive),
		TEST(the_kernel_says_who_the_peer_is),
		TEST(what_is_sent_before_it_is_open_goes_when_it_is),
		TEST(an_oversized_frame_is_told_once_and_ends_the_link),
		TEST(frames_before_garbage_are_delivered),
		TEST(an_end_within_a_frame_is_told),
		TEST(who_stops_talking_still_hears_the_answer),
		TEST(a_paused_reader_holds_the_sender_not_the_memory),
		TEST(pausing_within_a_frame_keeps_the_next_ones),
		TEST(a_link_may_be_freed_in_its_callbacks),
		TEST(finishing_writes_what_is_queued),
		TEST(finishing_in_a_callback_delivers_nothing_more),
		TEST(last_words_are_heard_though_sending_fails),
		TEST(a_broken_link_takes_nothing_more),
		TEST(nobody_there_is_told_later),
		TEST(a_peer_that_accept_refuses_is_closed),
		TEST(a_stale_socket_is_replaced),
		TEST(a_socket_in_use_is_left_alone),
		TEST(a_file_is_not_replaced),
		TEST(the_mode_holds_despite_the_umask),
		TEST(a_listener_removes_its_own_socket_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
