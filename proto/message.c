#include "proto/message.h"

#include "proto/message_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a hostile payload of 1 MiB may grow to while it is unpacked: every empty submessage of two
 * bytes becomes a struct and a pointer, and a submessage that stands twice is merged, which copies.
 * Counted over all allocations, those already given back too, so that copying is bounded as well.
 */
#define UNPACK_MAX  ((size_t)16 << 20)
#define UNPACK_COST 32 /* of one allocation beyond its size */

enum {
	RUNNER = 1 << CUPEL__ROLE__ROLE_RUNNER,
	OBSERVER = 1 << CUPEL__ROLE__ROLE_OBSERVER,
	ADMIN = 1 << CUPEL__ROLE__ROLE_ADMIN,
	SUBMIT = 1 << CUPEL__ROLE__ROLE_SUBMITTER | ADMIN,
	READ = 1 << CUPEL__ROLE__ROLE_READER | SUBMIT,
	ALL = RUNNER | OBSERVER | READ,
	NOBODY = 0, /* only the dispatcher says it */
};

static const struct type {
	const char *name;
	const ProtobufCMessageDescriptor *message; /* NULL: raw */
	unsigned senders;                          /* roles that may send it to a dispatcher */
} types[256] = {
	[FRAME_HELLO] = {"HELLO", &cupel__hello__descriptor, ALL},
	[FRAME_WELCOME] = {"WELCOME", &cupel__welcome__descriptor, NOBODY},
	[FRAME_ERROR] = {"ERROR", &cupel__error__descriptor, ALL},
	[FRAME_PING] = {"PING", &cupel__ping__descriptor, ALL},
	[FRAME_PONG] = {"PONG", &cupel__ping__descriptor, ALL},

	[FRAME_EVENT] = {"EVENT", &cupel__event__descriptor, OBSERVER},
	[FRAME_EVENT_ACK] = {"EVENT_ACK", &cupel__event_ack__descriptor, NOBODY},

	[FRAME_ASSIGN] = {"ASSIGN", &cupel__assign__descriptor, NOBODY},
	[FRAME_ACCEPT] = {"ACCEPT", &cupel__accept__descriptor, RUNNER},
	[FRAME_DECLINE] = {"DECLINE", &cupel__decline__descriptor, RUNNER},
	[FRAME_HEARTBEAT] = {"HEARTBEAT", &cupel__heartbeat__descriptor, RUNNER},
	[FRAME_LEASE] = {"LEASE", &cupel__lease__descriptor, NOBODY},
	[FRAME_PHASE] = {"PHASE", &cupel__phase__descriptor, RUNNER},
	[FRAME_PLAN] = {"PLAN", &cupel__plan__descriptor, RUNNER},
	[FRAME_LOG] = {"LOG", NULL, RUNNER},
	[FRAME_LOG_ACK] = {"LOG_ACK", &cupel__log_ack__descriptor, NOBODY},
	[FRAME_RESULT] = {"RESULT", &cupel__result__descriptor, RUNNER},
	[FRAME_RESULT_ACK] = {"RESULT_ACK", &cupel__result_ack__descriptor, NOBODY},
	[FRAME_RELEASED] = {"RELEASED", &cupel__released__descriptor, RUNNER},
	[FRAME_STOP] = {"STOP", &cupel__stop__descriptor, NOBODY},
	[FRAME_DRAIN] = {"DRAIN", &cupel__drain__descriptor, NOBODY},
	[FRAME_RUNNER_LIMITS] = {"RUNNER_LIMITS", &cupel__set_limits__descriptor, NOBODY},

	[FRAME_SUBMIT] = {"SUBMIT", &cupel__submit__descriptor, SUBMIT},
	[FRAME_SUBMITTED] = {"SUBMITTED", &cupel__submitted__descriptor, NOBODY},
	[FRAME_GET] = {"GET", &cupel__run_request__descriptor, READ},
	[FRAME_WATCH] = {"WATCH", &cupel__run_request__descriptor, READ},
	[FRAME_CANCEL] = {"CANCEL", &cupel__run_request__descriptor, SUBMIT},
	[FRAME_RETRY] = {"RETRY", &cupel__run_request__descriptor, SUBMIT},
	[FRAME_WHY] = {"WHY", &cupel__run_request__descriptor, READ},
	[FRAME_RUN] = {"RUN", &cupel__run__descriptor, NOBODY},
	[FRAME_LIST] = {"LIST", &cupel__list__descriptor, READ},
	[FRAME_RUNS] = {"RUNS", &cupel__runs__descriptor, NOBODY},
	[FRAME_TAIL] = {"TAIL", &cupel__tail__descriptor, READ},
	[FRAME_TAIL_END] = {"TAIL_END", &cupel__tail_end__descriptor, NOBODY},
	[FRAME_RUNNERS] = {"RUNNERS", &cupel__runners_request__descriptor, READ},
	[FRAME_RUNNER_LIST] = {"RUNNER_LIST", &cupel__runner_list__descriptor, NOBODY},
	[FRAME_EXPLANATION] = {"EXPLANATION", &cupel__explanation__descriptor, NOBODY},
	[FRAME_DRAIN_RUNNER] = {"DRAIN_RUNNER", &cupel__drain_request__descriptor, ADMIN},
	[FRAME_SET_LIMITS] = {"SET_LIMITS", &cupel__set_limits__descriptor, ADMIN},
	[FRAME_ENROLL] = {"ENROLL", &cupel__enroll__descriptor, ADMIN},
	[FRAME_TOKEN] = {"TOKEN", &cupel__token__descriptor, NOBODY},
	[FRAME_DONE] = {"DONE", &cupel__done__descriptor, NOBODY},
	[FRAME_FOLLOW] = {"FOLLOW", &cupel__follow_request__descriptor, READ},
};

bool message_allowed(Cupel__Role role, uint8_t type)
{
	return (unsigned)role <= CUPEL__ROLE__ROLE_ADMIN && types[type].senders & 1u << role;
}

const char *message_name(uint8_t type)
{
	static char unknown[sizeof("type 255")];

	if (types[type].name)
		return types[type].name;
	(void)snprintf(unknown, sizeof(unknown), "type %u", type); /* fits */
	return unknown;
}

/* --- unpacking -------------------------------------------------------------------------------- */

struct budget {
	size_t left;
	bool exceeded;
};

static void *budget_alloc(void *context, size_t size)
{
	struct budget *b = context;

	if (size > b->left || b->left - size < UNPACK_COST) {
		b->exceeded = true;
		return NULL;
	}
	b->left -= size + UNPACK_COST;
	return malloc(size);
}

static void budget_free(void *context, void *memory)
{
	(void)context; /* what is given back isn't earned back */
	free(memory);
}

int message_unpack(const struct frame *frame, ProtobufCMessage **out, struct error *err)
{
	const struct type *type = &types[frame->type];
	struct budget budget = {UNPACK_MAX, false};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	ProtobufCMessage *m;
	int rc;

	if (!type->message)
		return error_say(err, ENOTSUP, "%s carries no message", message_name(frame->type));
	m = protobuf_c_message_unpack(type->message, &allocator, frame->length, frame->payload);
	if (!m)
		return error_say(err, EBADMSG,
				 budget.exceeded ? "%s has too many parts"
						 : "%s is not well-formed",
				 type->name);
	rc = message_check(m, err);
	if (rc < 0) {
		message_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

void message_free(ProtobufCMessage *m)
{
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

int message_pack(uint8_t type, const ProtobufCMessage *m, struct buffer *out)
{
	size_t length = protobuf_c_message_get_packed_size(m);
	uint8_t *at;
	int rc;

	if (length > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	rc = buffer_reserve(out, FRAME_HEAD + length);
	if (rc < 0)
		return rc;
	at = (uint8_t *)out->data + out->length;
	frame_head(at, type, length);
	(void)protobuf_c_message_pack(m, at + FRAME_HEAD); /* it is `length` long */
	out->length += FRAME_HEAD + length;
	out->data[out->length] = '\0';
	return 0;
}
