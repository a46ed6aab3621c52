/* message.h - which message a frame carries, who may send it, and what makes it acceptable. Pure.
 *
 * The struct types (Cupel__Hello, ...) are made by protoc-c from proto/cupel.proto. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "proto/cupel.pb-c.h"
#include "proto/frame.h"

#include <stdbool.h>

/* Unpacks and checks the payload: lengths (names at most MESSAGE_NAME_MAX, text MESSAGE_TEXT_MAX),
 * ids that are not 0, commit ids of 40 or 64 lower-case hex digits, enums in range, no control
 * characters in names and refs, UTF-8 everywhere, required submessages there. Text for people
 * (subjects, authors, reasons) is never refused but put right by text_mend(); fields that aren't
 * known are dropped. The result is freed with message_free().
 * -EBADMSG and a sentence otherwise; -ENOTSUP for a type that isn't known or is raw. */
int message_unpack(const struct frame *frame, ProtobufCMessage **out, struct error *err);
void message_free(ProtobufCMessage *m);

/* Appends a whole frame. -EMSGSIZE when the message is over FRAME_PAYLOAD_MAX. */
int message_pack(uint8_t type, const ProtobufCMessage *m, struct buffer *out);

/* May a peer of this role send that type to a dispatcher? False for unknown types. */
bool message_allowed(Cupel__Role role, uint8_t type);

/* "HELLO", "EVENT", ...; "type 200" for what isn't known, from a static buffer. */
const char *message_name(uint8_t type);

#define MESSAGE_NAME_MAX   200   /* names of runners, repositories, jobs */
#define MESSAGE_REF_MAX    1024  /* refs, revisions */
#define MESSAGE_URL_MAX    4096  /* repositories: a path may be PATH_MAX */
#define MESSAGE_TEXT_MAX   4096  /* reasons, subjects: for people */
#define MESSAGE_SCRIPT_MAX 65536 /* one job's script */
#define MESSAGE_LIST_MAX   4096  /* members of one list */
#define MESSAGE_JOBS_MAX   512   /* jobs of one run */

/* What holds for a job when neither job file nor owner says. */
#define LIMIT_WALL_MS ((uint64_t)60 * 60 * 1000)
#define LIMIT_IDLE_MS ((uint64_t)10 * 60 * 1000)
#define LIMIT_OUTPUT  ((uint64_t)64 << 20) /* bytes */

/* The words of the outside for the enums: "passed", "timed_out"; "running". Never NULL. */
const char *verdict_word(Cupel__Verdict verdict);
const char *state_word(Cupel__State state);
const char *role_word(Cupel__Role role);
/* CUPEL__VERDICT__VERDICT_NONE / CUPEL__ROLE__ROLE_NONE for words that aren't one. */
Cupel__Verdict verdict_from_word(const char *word);
Cupel__Role role_from_word(const char *word);
