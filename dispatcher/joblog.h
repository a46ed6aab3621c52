/* joblog.h - what attempts write: one file each, addressed by offset, durable by a thread of its
 * own.
 *
 * logs/RUN/JOB.EPOCH.log below the state directory; the names are made from numbers only. Appending
 * goes to the page cache and never waits for the disk; the thread syncs, digests, and tells.
 * Nothing is kept in memory but positions. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "proto/digest.h"

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct joblogs;
struct joblog;

struct joblog_callbacks {
	/* More of it is durable (or it has failed: joblog_failure()). From the loop. */
	void (*synced)(void *context, struct joblog *log);
	void (*turn)(void *context); /* after a batch of these; NULL is fine */
};

/* `state` is the state directory, open; borrowed. */
int joblogs_new(struct event_base *base, int state, const struct joblog_callbacks *callbacks,
		void *context, struct joblogs **out, struct error *err);
/* Waits for the thread; all logs must have been put back. */
void joblogs_free(struct joblogs *l);
OWNED(joblogs)

/* A reference to the log of an attempt; the same one for all who ask. The file is made by the first
 * append. */
int joblog_get(struct joblogs *l, uint64_t run, uint64_t job, uint32_t epoch, struct joblog **out,
	       struct error *err);
void joblog_put(struct joblog *log);

/* The attempt is new: a log that is there already was another's, in a former life of the database,
 * and goes. */
int joblogs_clear(struct joblogs *l, uint64_t run, uint64_t job, uint32_t epoch);

void joblog_whose(const struct joblog *log, uint64_t *job, uint32_t *epoch);
/* The log if somebody has it open, borrowed; NULL otherwise. */
struct joblog *joblog_find(struct joblogs *l, uint64_t job, uint32_t epoch);

/* Appends what lies beyond the length. 0; -ERANGE: there would be a gap; else what the disk says,
 * and nothing was appended that counts. */
int joblog_append(struct joblog *log, uint64_t offset, const void *bytes, size_t length);

/* Syncs and digests what is there already: after a restart. */
void joblog_sync(struct joblog *log);

uint64_t joblog_length(const struct joblog *log);
uint64_t joblog_durable(const struct joblog *log);
int joblog_failure(const struct joblog *log); /* 0, or the -errno that syncing met */
/* Of all that is durable; false until everything is. */
bool joblog_digest(const struct joblog *log, uint8_t out[DIGEST_SIZE]);

/* Up to `size` bytes from `offset`; 0 at the end. -errno. */
ssize_t joblog_read(const struct joblog *log, uint64_t offset, void *bytes, size_t size);

/* Nothing more will be appended: who follows it may stop at its length. */
void joblog_finish(struct joblog *log);
bool joblog_finished(const struct joblog *log);

/* Whoever wants to see it grow hangs here; tail.c owns the members. */
struct tail;
TAILQ_HEAD(tail_list, tail);
struct tail_list *joblog_tails(struct joblog *log);
