/* supervisor_inside.h - what the files of the supervisor share: its state, its talk with the main
 * process, its answer. Used by supervisor*.c alone. */
#pragma once

#include "base/buffer.h"
#include "proto/digest.h"
#include "runner/control.h"
#include "runner/supervisor.h"

/* Why the attempt is to end before its time. */
struct ending {
	enum { ENDING_NONE, ENDING_CANCELLED, ENDING_ABORTED, ENDING_DISK } kind;
	char reason[400];
};

struct supervisor {
	const struct supervisor_spec *spec;
	int connection; /* of the main process; -1: none now */
	struct control_report report;
	bool report_due; /* the socket was full */
	struct lease lease;
	struct ending ending;
	bool frozen;
	struct sandbox *sandbox; /* NULL until it runs */
	int log;
	struct digest *digest;
	int log_error;     /* -errno: the spool took no more */
	int64_t disk_next; /* when to look at the disk again */
};

/* --- supervisor_talk.c --- */

/* Takes in what the main process says, without waiting; decides about the lease. */
void talk_step(struct supervisor *s);
/* Tells the main process how things are. */
void talk_report(struct supervisor *s);
/* For the work that can't be polled: true when it is to stop. */
bool talk_stop(void *context);
/* Ends the attempt before its time; the first reason is the one to tell. */
void talk_end(struct supervisor *s, int kind, const char *reason);
/* Milliseconds until the lease asks for something; -1: never. */
int talk_timeout(const struct supervisor *s);

/* --- supervisor_disk.c --- */

/* Ends a job that fills the disk for all. Looks once a second, or at once. */
void disk_look(struct supervisor *s, bool at_once);
/* How long to wait when all else is content with `timeout_ms`. */
int disk_timeout(const struct supervisor *s, int timeout_ms);

/* --- supervisor_answer.c --- */

/* An end without a sandbox's outcome: `errored`, or cancelled when that was asked for. */
void answer_error(struct supervisor *s, const struct error *err, bool infrastructure);
void answer_outcome(struct supervisor *s, const struct sandbox_outcome *outcome);
