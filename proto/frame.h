/* frame.h - the envelope on the wire. Pure: bytes in, struct out.
 *
 *    0        4      5       6          8
 *    +--------+------+-------+----------+------------------+
 *    | length | type | flags | reserved | payload ...      |
 *    +--------+------+-------+----------+------------------+
 *
 * `length` is the payload's, big-endian, at most FRAME_PAYLOAD_MAX, checked before anything is
 * allocated. Flags and reserved are 0 in protocol 1 and ignored when read. */
#pragma once

#include "base/buffer.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_HEAD        8
#define FRAME_PAYLOAD_MAX ((size_t)1 << 20)

#define PROTOCOL_MIN 1
#define PROTOCOL_MAX 1

/* What a payload is. docs/protocol.md tells the direction and the meaning of each. */
enum frame_type {
	FRAME_HELLO = 1,
	FRAME_WELCOME = 2,
	FRAME_ERROR = 4,
	FRAME_PING = 5,
	FRAME_PONG = 6, /* a Ping, echoed */

	FRAME_EVENT = 16,
	FRAME_EVENT_ACK = 17,

	FRAME_ASSIGN = 32,
	FRAME_ACCEPT = 33,
	FRAME_DECLINE = 34,
	FRAME_HEARTBEAT = 35,
	FRAME_LEASE = 36,
	FRAME_PHASE = 37,
	FRAME_PLAN = 38,
	FRAME_LOG = 39, /* raw: struct log_head, then the bytes */
	FRAME_LOG_ACK = 40,
	FRAME_RESULT = 44,
	FRAME_RESULT_ACK = 45,
	FRAME_RELEASED = 46,
	FRAME_STOP = 47,
	FRAME_DRAIN = 48,
	FRAME_RUNNER_LIMITS = 49, /* a SetLimits, passed on to the runner */

	FRAME_SUBMIT = 64,
	FRAME_SUBMITTED = 65,
	FRAME_GET = 66,    /* a RunRequest */
	FRAME_WATCH = 67,  /* a RunRequest */
	FRAME_CANCEL = 68, /* a RunRequest */
	FRAME_RETRY = 69,  /* a RunRequest */
	FRAME_WHY = 70,    /* a RunRequest */
	FRAME_RUN = 71,
	FRAME_LIST = 72,
	FRAME_RUNS = 73,
	FRAME_TAIL = 74,
	FRAME_TAIL_END = 75,
	FRAME_RUNNERS = 76, /* a RunnersRequest */
	FRAME_RUNNER_LIST = 77,
	FRAME_EXPLANATION = 78,
	FRAME_DRAIN_RUNNER = 79, /* a DrainRequest */
	FRAME_SET_LIMITS = 80,
	FRAME_ENROLL = 81,
	FRAME_TOKEN = 82,
	FRAME_DONE = 83,
	FRAME_FOLLOW = 84, /* a FollowRequest */
};

struct frame {
	uint8_t type;
	const uint8_t *payload; /* borrowed from the bytes that were parsed */
	size_t length;
};

/* Looks at the start of a stream. >0: a whole frame of so many bytes, `out` filled; 0: more bytes
 * are needed; -EMSGSIZE: the announced length is over the limit, nothing on this stream can be
 * trusted any more. */
ssize_t frame_parse(const uint8_t *bytes, size_t length, struct frame *out);

/* Only the length that a head announces, payload and head together; same answers. */
ssize_t frame_whole_length(const uint8_t *bytes, size_t length);

/* Writes a head of FRAME_HEAD bytes for a payload of `length` <= FRAME_PAYLOAD_MAX. */
void frame_head(uint8_t *out, uint8_t type, size_t length);

/* The fixed head before the bytes of a FRAME_LOG: job (8 bytes), epoch (4), offset (8), big-endian.
 */
struct log_head {
	uint64_t job;
	uint32_t epoch;
	uint64_t offset;
};
#define LOG_HEAD      20
#define LOG_BYTES_MAX ((size_t)256 << 10) /* in one frame: small enough to interleave well */

/* -EBADMSG when the payload is shorter than the head. `bytes` is borrowed. */
int log_head_parse(const uint8_t *payload, size_t length, struct log_head *out,
		   const uint8_t **bytes, size_t *bytes_length);
void log_head_write(const struct log_head *head, uint8_t out[LOG_HEAD]);
