#include "proto/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t get64(const uint8_t *at)
{
	return (uint64_t)get32(at) << 32 | get32(at + 4);
}

static void put32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static void put64(uint8_t *at, uint64_t value)
{
	put32(at, (uint32_t)(value >> 32));
	put32(at + 4, (uint32_t)value);
}

/* The length alone condemns a stream: no need to wait for the rest of the head. */
ssize_t frame_whole_length(const uint8_t *bytes, size_t length)
{
	if (length < 4)
		return 0;
	if (get32(bytes) > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	return length < FRAME_HEAD ? 0 : (ssize_t)(FRAME_HEAD + get32(bytes));
}

ssize_t frame_parse(const uint8_t *bytes, size_t length, struct frame *out)
{
	ssize_t whole = frame_whole_length(bytes, length);

	if (whole <= 0 || (size_t)whole > length)
		return whole < 0 ? whole : 0;
	out->type = bytes[4];
	out->payload = bytes + FRAME_HEAD;
	out->length = (size_t)whole - FRAME_HEAD;
	return whole;
}

void frame_head(uint8_t *out, uint8_t type, size_t length)
{
	assert(length <= FRAME_PAYLOAD_MAX);
	put32(out, (uint32_t)length);
	out[4] = type;
	memset(out + 5, 0, FRAME_HEAD - 5); /* flags and reserved */
}

int log_head_parse(const uint8_t *payload, size_t length, struct log_head *out,
		   const uint8_t **bytes, size_t *bytes_length)
{
	if (length < LOG_HEAD)
		return -EBADMSG;
	out->job = get64(payload);
	out->epoch = get32(payload + 8);
	out->offset = get64(payload + 12);
	*bytes = payload + LOG_HEAD;
	*bytes_length = length - LOG_HEAD;
	return 0;
}

void log_head_write(const struct log_head *head, uint8_t out[LOG_HEAD])
{
	put64(out, head->job);
	put32(out + 8, head->epoch);
	put64(out + 12, head->offset);
}
