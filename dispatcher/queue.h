/* queue.h - what waits for a runner, in order, and who gets what.
 *
 * Jobs that ask for the same (labels, network, sizes) share a bucket: what fits one fits all, so
 * that a thousand waiting jobs cost as much to place as one. Order: plans, then what was requeued,
 * then by age (ids grow). */
#pragma once

#include "base/buffer.h"
#include "dispatcher/runners.h"

struct bucket;

struct waiting {
	uint64_t job, run;
	bool plan, urgent;
	struct runner *avoid; /* not this one while another one fits; NULL: none */
	struct bucket *bucket;
	TAILQ_ENTRY(waiting) entry;
};
TAILQ_HEAD(waiting_list, waiting);

struct queue {
	TAILQ_HEAD(bucket_list, bucket) buckets;
	struct map by_job;  /* struct waiting */
	struct map by_wish; /* struct bucket */
};

void queue_init(struct queue *q);
void queue_done(struct queue *q);

/* `spec` is NULL of a plan. -ENOMEM. */
int queue_put(struct queue *q, uint64_t job, uint64_t run, const Cupel__JobSpec *spec, bool urgent,
	      struct runner *avoid);
bool queue_drop(struct queue *q, uint64_t job); /* false: it didn't wait */
size_t queue_length(const struct queue *q);

/* The next job that a ready runner can take, removed from the queue; the caller frees it. NULL:
 * none can be placed now. */
struct waiting *queue_next(struct queue *q, struct runners *all, int64_t now_ms,
			   struct runner **runner);

/* `r` declined this waiting job: nothing like it until it frees something, or for good (`never`).
 */
#define DECLINE_REST_MS 30000 /* at the latest then a runner that holds nothing is asked again */
void queue_declined(struct queue *q, uint64_t job, struct runner *r, bool never, const char *reason,
		    int64_t now_ms);
/* `r` has freed something; or begins anew (`all`: also what it would never take). */
void queue_reopen(struct queue *q, const struct runner *r, bool all);

/* Is there a runner besides `r` that is connected, takes jobs, and fits `spec` (NULL: a plan)? */
bool queue_another_fits(const struct runners *all, const struct runner *r,
			const Cupel__JobSpec *spec);

/* Appends why the job waits, in a sentence without its end; "" when it isn't in the queue. */
void queue_why(const struct queue *q, const struct runners *all, uint64_t job, int64_t now_ms,
	       struct buffer *out);
