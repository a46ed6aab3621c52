#include "rig.h"

static const uint8_t ping[] = {0, 0, 0, 3, FRAME_PING, 9, 9, 9, 'a', 'b', 'c', 'x'};

static void a_frame_cut_anywhere_needs_more(void **state)
{
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(frame_parse(ping, i, &frame), 0);
	assert_int_equal(frame_parse(ping, 11, &frame), 11);
	assert_int_equal(frame_parse(ping, 12, &frame), 11); /* what follows isn't its own */
	assert_int_equal(frame.type, FRAME_PING);
	assert_int_equal(frame.length, 3);
	assert_ptr_equal(frame.payload, ping + FRAME_HEAD);
}

static void an_empty_payload_is_a_frame(void **state)
{
	const uint8_t bytes[FRAME_HEAD] = {0, 0, 0, 0, FRAME_DRAIN};
	struct frame frame;

	(void)state;
	assert_int_equal(frame_parse(bytes, sizeof(bytes), &frame), FRAME_HEAD);
	assert_int_equal(frame.length, 0);
}

static void a_length_over_the_limit_condemns_at_once(void **state)
{
	const uint8_t largest[] = {0, 16, 0, 0, 1, 0, 0, 0}, over[] = {0, 16, 0, 1};
	struct frame frame;

	(void)state;
	assert_int_equal(frame_whole_length(largest, 8), FRAME_HEAD + FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_parse(largest, 8, &frame), 0);
	assert_int_equal(frame_parse(over, 3, &frame), 0);
	assert_int_equal(frame_parse(over, 4, &frame), -EMSGSIZE);
}

static void a_head_is_read_as_it_was_written(void **state)
{
	uint8_t bytes[FRAME_HEAD];

	(void)state;
	memset(bytes, 255, sizeof(bytes));
	frame_head(bytes, 200, 0x12345);
	assert_memory_equal(bytes, "\0\1\x23\x45\xc8\0\0\0", sizeof(bytes));
	assert_int_equal(frame_whole_length(bytes, sizeof(bytes)), FRAME_HEAD + 0x12345);
}

static void a_log_head_is_read_as_it_was_written(void **state)
{
	const struct log_head head = {0x0102030405060708, 0x090a0b0c, 0x0d0e0f1011121314};
	uint8_t bytes[LOG_HEAD + 1];
	const uint8_t *rest;
	struct log_head got;
	size_t length;

	(void)state;
	log_head_write(&head, bytes);
	for (size_t i = 0; i < LOG_HEAD; i++) {
		assert_int_equal(bytes[i], i + 1);
		assert_int_equal(log_head_parse(bytes, i, &got, &rest, &length), -EBADMSG);
	}
	assert_int_equal(log_head_parse(bytes, LOG_HEAD + 1, &got, &rest, &length), 0);
	assert_int_equal(got.job, head.job);
	assert_int_equal(got.epoch, head.epoch);
	assert_int_equal(got.offset, head.offset);
	assert_ptr_equal(rest, bytes + LOG_HEAD);
	assert_int_equal(length, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_cut_anywhere_needs_more),
		cmocka_unit_test(an_empty_payload_is_a_frame),
		cmocka_unit_test(a_length_over_the_limit_condemns_at_once),
		cmocka_unit_test(a_head_is_read_as_it_was_written),
		cmocka_unit_test(a_log_head_is_read_as_it_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
