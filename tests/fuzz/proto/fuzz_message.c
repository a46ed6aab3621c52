/* fuzz_message.c - the first byte is the type, the rest the payload: a complaint, or a message that
 * packs and unpacks to itself. */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_again(uint8_t type, const ProtobufCMessage *m)
{
	owned_buffer packed = {0}, again = {0};
	ProtobufCMessage *second = NULL;
	struct error err = {0};
	struct frame frame;

	/* Varints and enums may stand shorter on the wire than they are packed. */
	if (message_pack(type, m, &packed) == -EMSGSIZE)
		return;
	require(frame_parse((uint8_t *)packed.data, packed.length, &frame) > 0);
	require(message_unpack(&frame, &second, &err) == 0);
	require(message_pack(type, second, &again) == 0);
	require(packed.length == again.length &&
		memcmp(packed.data, again.data, packed.length) == 0);
	message_free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct frame frame = {length ? bytes[0] : 0, bytes + 1, length ? length - 1 : 0};
	ProtobufCMessage *m = NULL;
	struct error err = {0};

	if (!length || frame.length > FRAME_PAYLOAD_MAX)
		return 0;
	if (message_unpack(&frame, &m, &err) < 0) {
		require(!m && err.text[0] && (err.code == EBADMSG || err.code == ENOTSUP));
		return 0;
	}
	check_again(frame.type, m);
	message_free(m);
	return 0;
}
