/* fuzz_frame.c - whatever a stream holds, and however it is cut: the same frames, none beyond its
 * bytes, none over the limit. */
#include "proto/frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* A head that is written again says what was read. */
static void check_log(const struct frame *frame)
{
	struct log_head head;
	const uint8_t *rest;
	uint8_t again[LOG_HEAD];
	size_t length;

	if (log_head_parse(frame->payload, frame->length, &head, &rest, &length) < 0) {
		require(frame->length < LOG_HEAD);
		return;
	}
	require(rest + length == frame->payload + frame->length);
	log_head_write(&head, again);
	require(memcmp(again, frame->payload, LOG_HEAD) == 0);
}

static void check_frame(const uint8_t *at, size_t left, size_t whole, const struct frame *frame)
{
	uint8_t head[FRAME_HEAD];
	struct frame cut;

	require(whole <= left && frame->length <= FRAME_PAYLOAD_MAX);
	require(frame->payload == at + FRAME_HEAD && frame->length == whole - FRAME_HEAD);
	require(frame_parse(at, whole - 1, &cut) == 0);
	require(frame_whole_length(at, FRAME_HEAD) == (ssize_t)whole);
	frame_head(head, frame->type, frame->length);
	require(memcmp(head, at, 5) == 0); /* what follows is ignored when read */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	size_t at = 0;

	for (;;) {
		struct frame frame;
		ssize_t whole = frame_parse(bytes + at, length - at, &frame);

		if (whole <= 0)
			return 0;
		check_frame(bytes + at, length - at, (size_t)whole, &frame);
		check_log(&frame);
		at += (size_t)whole;
	}
}
