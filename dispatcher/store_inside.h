/* store_inside.h - what the files of the store share. */
#pragma once

#include "base/buffer.h"
#include "dispatcher/sql.h"
#include "dispatcher/store.h"

struct store {
	struct sql *db;
};

/* Appends the packed message. */
static inline int pack(const ProtobufCMessage *m, struct buffer *out)
{
	size_t length = protobuf_c_message_get_packed_size(m);
	int rc = buffer_reserve(out, length);

	if (rc == 0)
		out->length += protobuf_c_message_pack(m, (uint8_t *)out->data + out->length);
	return rc;
}
