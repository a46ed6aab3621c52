/* spool.h - what a runner keeps of its attempts on disk, so that its death loses nothing.
 *
 *    spool/JOB.EPOCH/assign    what was assigned and granted; written before the supervisor starts
 *                    log       the job's output, as it came; appended by the supervisor
 *                    reserve   room for the result
 *                    result    the Result or Plan, all or nothing; written by the supervisor
 *                    control   the supervisor's socket; nobody answers: it is dead
 *
 * The directory goes when the result was acknowledged and nothing of the attempt is left on the
 * box. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "proto/message.h"

#include <stdbool.h>
#include <stdint.h>

#define SPOOL_NAME_MAX 32 /* "JOB.EPOCH", terminated */

void spool_name(uint64_t job, uint32_t epoch, char out[SPOOL_NAME_MAX]);
/* False when it isn't exactly what spool_name() writes. */
bool spool_name_parse(const char *name, uint64_t *job, uint32_t *epoch);

/* What an attempt was started with. */
struct ticket {
	Cupel__Assign *assign;  /* owned once read */
	Cupel__Limits *granted; /* owned once read; NULL of a plan */
	uint32_t slot;          /* of the runner: which range of ids it has */
};
void ticket_done(struct ticket *t);

/* Pure. */
int ticket_pack(const struct ticket *t, struct buffer *out);
int ticket_unpack(const void *bytes, size_t length, struct ticket *out, struct error *err);

/* Makes the attempt's directory, its ticket and the room for its answer; the directory's
 * descriptor. -ENOSPC: the disk has no room for that. */
int spool_create(int spool, const char *name, const struct ticket *t, struct error *err);
/* Opens what is there. -EBADMSG: nothing was started from it, it may be removed. */
int spool_open(int spool, const char *name, struct ticket *out, struct error *err);

/* The answer to the dispatcher: a Result or a Plan as it will be sent. */
struct answer {
	uint8_t type;              /* FRAME_RESULT or FRAME_PLAN */
	ProtobufCMessage *message; /* owned */
};
void answer_done(struct answer *a);
/* As spool_read_answer() would give it back. */
int answer_copy(uint8_t type, const ProtobufCMessage *m, struct answer *out);

/* On disk when it returns, also when the disk is full: its room was reserved at the start. */
int spool_write_answer(int dir, uint8_t type, const ProtobufCMessage *m, struct error *err);
/* -ENOENT: there is none yet. */
int spool_read_answer(int dir, struct answer *out, struct error *err);

int spool_open_log(int dir, bool writing, struct error *err);
