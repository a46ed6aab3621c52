#include "dispatcher/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_PAST                                                                                  \
	32 /* jobs at a bucket's head that avoid a runner, before the next bucket's turn */

/* Who said no to a bucket. */
struct refusal {
	const struct runner *runner;
	bool never;
	int64_t until_ms;
	char *reason;
};

struct bucket {
	char *wish;   /* what its jobs ask for, as text: the key */
	char *labels; /* "a, b", for people; "" when none */
	char **label; /* NULL-terminated */
	bool plan, network_host;
	struct waiting_list urgent, normal;
	struct refusal *refusals;
	size_t refusals_count;
	size_t fitting;      /* runners that are connected, take jobs, and fit */
	uint64_t generation; /* of the runners, when `fitting` was counted */
	TAILQ_ENTRY(bucket) entry;
	struct bucket *same_hash;
	uint64_t hash;
};

void queue_init(struct queue *q)
{
	*q = (struct queue){0};
	TAILQ_INIT(&q->buckets);
}

static void bucket_free(struct bucket *b)
{
	for (size_t i = 0; i < b->refusals_count; i++)
		free(b->refusals[i].reason);
	free(b->refusals);
	for (char **l = b->label; l && *l; l++)
		free(*l);
	free(b->label);
	free(b->labels);
	free(b->wish);
	free(b);
}
OWNED(bucket)

static void empty_list(struct waiting_list *list)
{
	while (!TAILQ_EMPTY(list)) {
		struct waiting *w = TAILQ_FIRST(list);

		TAILQ_REMOVE(list, w, entry);
		free(w);
	}
}

void queue_done(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->buckets)) {
		struct bucket *b = TAILQ_FIRST(&q->buckets);

		TAILQ_REMOVE(&q->buckets, b, entry);
		empty_list(&b->urgent);
		empty_list(&b->normal);
		bucket_free(b);
	}
	map_done(&q->by_job);
	map_done(&q->by_wish);
}

size_t queue_length(const struct queue *q)
{
	return q->by_job.count;
}

/* --- what fits
 * ------------------------------------------------------------------------------------- */

static bool has_label(const struct runner *r, const char *label)
{
	for (size_t i = 0; i < r->info->n_labels; i++)
		if (strcmp(r->info->labels[i], label) == 0)
			return true;
	return false;
}

static bool takes_jobs(const struct runner *r)
{
	return r->session && !r->draining;
}

static bool wants_host(const Cupel__JobSpec *spec)
{
	return spec && strcmp(spec->network, "host") == 0;
}

bool queue_another_fits(const struct runners *all, const struct runner *r,
			const Cupel__JobSpec *spec)
{
	const struct runner *other;

	TAILQ_FOREACH(other, &all->all, entry)
	{
		bool fits = other != r && takes_jobs(other) && other->info->capacity &&
			    other->info->capacity->slots &&
			    (!wants_host(spec) || other->info->capacity->network_host);

		for (size_t i = 0; fits && spec && i < spec->n_labels; i++)
			fits = has_label(other, spec->labels[i]);
		if (fits)
			return true;
	}
	return false;
}

static const struct refusal *refusal_of(const struct bucket *b, const struct runner *r,
					int64_t now_ms)
{
	for (size_t i = 0; i < b->refusals_count; i++)
		if (b->refusals[i].runner == r &&
		    (b->refusals[i].never || b->refusals[i].until_ms > now_ms))
			return &b->refusals[i];
	return NULL;
}

/* Could it ever take these, as it is now? */
static bool fits(const struct bucket *b, const struct runner *r)
{
	if (!r->info->capacity || !r->info->capacity->slots)
		return false;
	if (b->network_host && !r->info->capacity->network_host)
		return false;
	for (char **l = b->label; *l; l++)
		if (!has_label(r, *l))
			return false;
	for (size_t i = 0; i < b->refusals_count; i++)
		if (b->refusals[i].runner == r && b->refusals[i].never)
			return false;
	return true;
}

static void count_fitting(struct bucket *b, const struct runners *all)
{
	const struct runner *r;

	if (b->generation == all->generation)
		return;
	b->generation = all->generation;
	b->fitting = 0;
	TAILQ_FOREACH(r, &all->all, entry)
	b->fitting += takes_jobs(r) && fits(b, r);
}

/* --- buckets
 * --------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h;
}

/* All that a runner may judge a job by: jobs whose wishes are the same share one refusal. */
static int write_wish(const Cupel__JobSpec *spec, struct buffer *wish, struct buffer *labels)
{
	const Cupel__Limits none = CUPEL__LIMITS__INIT;
	const Cupel__Limits *l = spec && spec->limits ? spec->limits : &none;
	const uint64_t judged[] = {l->memory, l->cpu_milli, l->tasks, l->cpu_time_ms,
				   l->disk,   l->inodes,    l->files};
	int rc = buffer_printf(wish, "%s %d %s", spec ? "job" : "plan", wants_host(spec),
			       spec ? spec->profile : "");

	for (size_t i = 0; rc == 0 && i < sizeof(judged) / sizeof(*judged); i++)
		rc = buffer_printf(wish, " %" PRIu64, judged[i]);
	for (size_t i = 0; rc == 0 && spec && i < spec->n_labels; i++) {
		rc = buffer_printf(wish, "\n%s", spec->labels[i]);
		if (rc == 0)
			rc = buffer_printf(labels, "%s%s", i ? ", " : "", spec->labels[i]);
	}
	return rc;
}

static int fill_bucket(struct bucket *b, const Cupel__JobSpec *spec, struct buffer *wish,
		       struct buffer *labels)
{
	size_t n = spec ? spec->n_labels : 0;

	TAILQ_INIT(&b->urgent);
	TAILQ_INIT(&b->normal);
	b->plan = !spec;
	b->network_host = wants_host(spec);
	b->generation = UINT64_MAX; /* not counted yet */
	b->label = calloc(n + 1, sizeof(char *));
	for (size_t i = 0; b->label && i < n; i++)
		if (!(b->label[i] = strdup(spec->labels[i])))
			return -ENOMEM;
	b->labels = labels->data ? buffer_take(labels) : strdup("");
	b->wish = buffer_take(wish);
	return b->label && b->labels && b->wish ? 0 : -ENOMEM;
}

static struct bucket *bucket_for(struct queue *q, const Cupel__JobSpec *spec)
{
	owned_buffer wish = {0}, labels = {0};
	owned(bucket) *made = NULL;
	struct bucket *b;
	uint64_t hash;

	if (write_wish(spec, &wish, &labels) < 0)
		return NULL;
	hash = hash_of(wish.data);
	for (b = map_get(&q->by_wish, hash); b; b = b->same_hash)
		if (strcmp(b->wish, wish.data) == 0)
			return b;
	made = calloc(1, sizeof(*made));
	if (!made || fill_bucket(made, spec, &wish, &labels) < 0)
		return NULL;
	made->hash = hash;
	made->same_hash = map_get(&q->by_wish, hash);
	if (map_put(&q->by_wish, hash, made) < 0)
		return NULL;
	TAILQ_INSERT_TAIL(&q->buckets, made, entry);
	b = give(made);
	return b;
}

static void drop_when_empty(struct queue *q, struct bucket *b)
{
	struct bucket *first = map_get(&q->by_wish, b->hash);

	if (!TAILQ_EMPTY(&b->urgent) || !TAILQ_EMPTY(&b->normal))
		return;
	if (first == b && !b->same_hash) {
		(void)map_take(&q->by_wish, b->hash); /* it is `b` */
	} else if (first == b) {
		(void)map_put(&q->by_wish, b->hash, b->same_hash); /* replaces, needs no memory */
	} else {
		while (first->same_hash != b)
			first = first->same_hash;
		first->same_hash = b->same_hash;
	}
	TAILQ_REMOVE(&q->buckets, b, entry);
	bucket_free(b);
}

/* --- in and out
 * ------------------------------------------------------------------------------------ */

/* Ids grow, so a new job belongs at the end, and an old one that comes back near the front. */
static void insert(struct waiting_list *list, struct waiting *w)
{
	struct waiting *other = TAILQ_LAST(list, waiting_list);

	if (!other || other->job < w->job) {
		TAILQ_INSERT_TAIL(list, w, entry);
		return;
	}
	TAILQ_FOREACH(other, list, entry)
	if (other->job > w->job)
		break;
	TAILQ_INSERT_BEFORE(other, w, entry);
}

int queue_put(struct queue *q, uint64_t job, uint64_t run, const Cupel__JobSpec *spec, bool urgent,
	      struct runner *avoid)
{
	struct bucket *b = bucket_for(q, spec);
	struct waiting *w = b ? calloc(1, sizeof(*w)) : NULL;

	if (!w || map_put(&q->by_job, job, w) < 0) {
		free(w);
		if (b)
			drop_when_empty(q, b);
		return -ENOMEM;
	}
	*w = (struct waiting){job, run, !spec, urgent, avoid, b, {0}};
	insert(urgent ? &b->urgent : &b->normal, w);
	return 0;
}

static void take(struct queue *q, struct waiting *w)
{
	TAILQ_REMOVE(w->urgent ? &w->bucket->urgent : &w->bucket->normal, w, entry);
	(void)map_take(&q->by_job, w->job); /* it is `w` */
	drop_when_empty(q, w->bucket);
	w->bucket = NULL;
}

bool queue_drop(struct queue *q, uint64_t job)
{
	struct waiting *w = map_get(&q->by_job, job);

	if (!w)
		return false;
	take(q, w);
	free(w);
	return true;
}

/* --- who gets what
 * --------------------------------------------------------------------------------- */

static bool has_room(const struct bucket *b, const struct runner *r)
{
	return b->plan ? runner_has_plan_slot(r) : runner_has_slot(r);
}

/* The ready runner with the most free slots. */
static struct runner *place(const struct bucket *b, const struct waiting *w,
			    const struct runners *all, int64_t now_ms)
{
	struct runner *r, *best = NULL;
	uint64_t most = 0;

	TAILQ_FOREACH(r, &all->ready, ready_entry)
	{
		uint64_t room = b->plan ? 2 * (uint64_t)r->info->capacity->slots + 2 - r->plans
					: r->info->capacity->slots - r->jobs;

		if (!has_room(b, r) || room <= most || (w->avoid == r && b->fitting > 1) ||
		    !fits(b, r) || refusal_of(b, r, now_ms))
			continue;
		best = r;
		most = room;
	}
	return best;
}

/* The bucket's first job that somebody can take. */
static struct waiting *first_placeable(const struct bucket *b, const struct runners *all,
				       int64_t now_ms, struct runner **runner)
{
	const struct waiting_list *lists[] = {&b->urgent, &b->normal};
	unsigned looked = 0;

	for (size_t i = 0; i < 2; i++) {
		struct waiting *w;

		TAILQ_FOREACH(w, lists[i], entry)
		{
			*runner = place(b, w, all, now_ms);
			if (*runner)
				return w;
			if (!w->avoid || ++looked == LOOK_PAST)
				return NULL;
		}
	}
	return NULL;
}

static bool comes_before(const struct waiting *a, const struct waiting *b)
{
	if (a->plan != b->plan)
		return a->plan;
	if (a->urgent != b->urgent)
		return a->urgent;
	return a->job < b->job;
}

struct waiting *queue_next(struct queue *q, struct runners *all, int64_t now_ms,
			   struct runner **runner)
{
	struct waiting *best = NULL;
	struct bucket *b;

	if (TAILQ_EMPTY(&all->ready))
		return NULL;
	TAILQ_FOREACH(b, &q->buckets, entry)
	{
		struct runner *r;
		struct waiting *w;

		count_fitting(b, all);
		if (!b->fitting)
			continue;
		w = first_placeable(b, all, now_ms, &r);
		if (!w || (best && !comes_before(w, best)))
			continue;
		best = w;
		*runner = r;
	}
	if (best)
		take(q, best);
	return best;
}

/* --- refusals
 * -------------------------------------------------------------------------------------- */

void queue_declined(struct queue *q, uint64_t job, struct runner *r, bool never, const char *reason,
		    int64_t now_ms)
{
	struct waiting *w = map_get(&q->by_job, job);
	struct refusal *grown;
	struct bucket *b;

	if (!w)
		return;
	b = w->bucket;
	b->generation = UINT64_MAX; /* `never` changes who fits */
	for (size_t i = 0; i < b->refusals_count; i++)
		if (b->refusals[i].runner == r) {
			b->refusals[i].until_ms = now_ms + DECLINE_REST_MS;
			b->refusals[i].never |= never;
			return;
		}
	grown = realloc(b->refusals, (b->refusals_count + 1) * sizeof(*grown));
	if (!grown)
		return; /* it will be asked and decline again */
	b->refusals = grown;
	grown[b->refusals_count++] =
		(struct refusal){r, never, now_ms + DECLINE_REST_MS, strdup(reason)};
}

void queue_reopen(struct queue *q, const struct runner *r, bool all)
{
	struct bucket *b;

	TAILQ_FOREACH(b, &q->buckets, entry)
	for (size_t i = 0; i < b->refusals_count;) {
		struct refusal *it = &b->refusals[i];

		if (it->runner != r || (it->never && !all)) {
			i++;
			continue;
		}
		free(it->reason);
		*it = b->refusals[--b->refusals_count];
		b->generation = UINT64_MAX;
	}
}

/* --- why
 * ------------------------------------------------------------------------------------------- */

static void say_about(const struct bucket *b, const struct waiting *w, const struct runner *r,
		      int64_t now_ms, struct buffer *out)
{
	const struct refusal *no = refusal_of(b, r, now_ms);

	if (no)
		(void)buffer_printf(out, "; %s declined: %s", r->name,
				    no->reason ? no->reason : "");
	else if (r->pressure)
		(void)buffer_printf(out, "; %s takes nothing now: %s", r->name, r->pressure);
	else if (!has_room(b, r))
		(void)buffer_printf(out, "; %s is busy (%u of %u slots)", r->name, r->jobs,
				    r->info->capacity->slots);
	else if (w->avoid == r)
		(void)buffer_printf(out, "; %s is where it ended last", r->name);
}

#define WHY_RUNNERS 8 /* that are named */

void queue_why(const struct queue *q, const struct runners *all, uint64_t job, int64_t now_ms,
	       struct buffer *out)
{
	const struct waiting *w = map_get(&q->by_job, job);
	unsigned connected = 0, draining = 0, named = 0;
	size_t start = out->length;
	const struct runner *r;
	const struct bucket *b;

	if (!w)
		return;
	b = w->bucket;
	TAILQ_FOREACH(r, &all->all, entry)
	{
		connected += r->session != NULL;
		draining += r->session && r->draining && fits(b, r);
		if (!takes_jobs(r) || (!fits(b, r) && !refusal_of(b, r, now_ms)))
			continue;
		if (++named <= WHY_RUNNERS)
			say_about(b, w, r, now_ms, out);
	}
	if (out->length > start) {
		memmove(out->data + start, out->data + start + 2,
			out->length - start - 1); /* "; " */
		out->length -= 2;
		return;
	}
	if (!connected)
		(void)buffer_printf(out, "no runner is connected");
	else if (draining && !named)
		(void)buffer_printf(out, "every runner that fits is draining");
	else if (!named && *b->labels)
		(void)buffer_printf(out, "no connected runner has the labels %s", b->labels);
	else if (!named && b->network_host)
		(void)buffer_printf(out, "no connected runner allows network: host");
	else if (!named)
		(void)buffer_printf(out, "no connected runner takes it");
	else
		(void)buffer_printf(out, "it is about to be assigned");
}
