#include "dispatcher/inside.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Who wants to hear of each change of a run. Changes of one turn are told at once; while a
 * watcher's line is full it hears nothing, and the newest state when it has drained. */
struct watch {
	struct session *session;
	uint64_t run;
	bool behind;
	TAILQ_ENTRY(watch) of_session;
	TAILQ_ENTRY(watch) of_run;
};

#define WATCHES_MAX 256            /* of one session */
#define WHY_MAX     400            /* bytes of one job's reason to wait: a run may have hundreds */
#define ALL_RUNS    0              /* instead of a run: each, once it has ended */
#define FOLLOW_MAX  (8 * LINK_LOW) /* queued for one follower; what ends meanwhile passes it by */

/* --- what is shown
 * ------------------------------------------------------------------------------------------ */

static void say_held(const Cupel__Run *run, const Cupel__Job *j, struct buffer *out)
{
	(void)buffer_printf(out, "waits for");
	for (size_t n = 0; n < j->n_needs; n++)
		for (size_t i = 0; i < run->n_jobs; i++)
			if (strcmp(run->jobs[i]->name, j->needs[n]) == 0 &&
			    run->jobs[i]->kind == CUPEL__KIND__KIND_JOB &&
			    run->jobs[i]->state != CUPEL__STATE__STATE_ENDED)
				(void)buffer_printf(out, " %s",
						    j->needs[n]); /* less without memory */
}

Cupel__Run *run_shown(struct dispatcher *d, uint64_t id)
{
	Cupel__Run *run = store_show(d->store, id);
	int64_t now = clock_boot_ms();

	if (run)
		run->took_ms = store_run_took(d->store, id, clock_wall_ms());
	for (size_t i = 0; run && i < run->n_jobs; i++) {
		Cupel__Job *j = run->jobs[i];
		struct buffer why = {.max = WHY_MAX};

		if (j->state == CUPEL__STATE__STATE_HELD)
			say_held(run, j, &why);
		else if (j->state == CUPEL__STATE__STATE_QUEUED)
			queue_why(&d->queue, &d->runners, j->id, now, &why);
		if (why.data)
			j->waits_for = buffer_take(&why);
		if (!state_is_live(j->state) || !j->n_attempts)
			continue;
		/* What is still growing is known here only. */
		struct attempt *a = attempt_find(d, j->id, j->attempts[j->n_attempts - 1]->epoch);
		if (a && a->log)
			j->attempts[j->n_attempts - 1]->log_length = joblog_length(a->log);
	}
	return run;
}

/* --- watching
 * ------------------------------------------------------------------------------------------------
 */

static void watch_free(struct watch *w)
{
	struct dispatcher *d = w->session->d;
	struct watch_list *list = map_get(&d->watches, w->run);

	TAILQ_REMOVE(&w->session->watches, w, of_session);
	TAILQ_REMOVE(list, w, of_run);
	if (TAILQ_EMPTY(list)) {
		(void)map_take(&d->watches, w->run); /* it is `list` */
		free(list);
	}
	free(w);
}

static struct watch_list *list_of(struct dispatcher *d, uint64_t run)
{
	struct watch_list *list = map_get(&d->watches, run);

	if (list)
		return list;
	list = calloc(1, sizeof(*list));
	if (!list)
		return NULL;
	TAILQ_INIT(list);
	if (map_put(&d->watches, run, list) == 0)
		return list;
	free(list);
	return NULL;
}

static bool add_watch(struct session *s, uint64_t run)
{
	struct watch_list *list = list_of(s->d, run);
	struct watch *w = list ? calloc(1, sizeof(*w)) : NULL;

	if (!w) {
		say_error(s, ENOMEM, "the dispatcher is out of memory");
		return false;
	}
	w->session = s;
	w->run = run;
	TAILQ_INSERT_TAIL(&s->watches, w, of_session);
	TAILQ_INSERT_TAIL(list, w, of_run);
	return true;
}

void on_follow(struct session *s, ProtobufCMessage **m)
{
	struct watch *w;

	(void)m;
	TAILQ_FOREACH(w, &s->watches, of_session)
	if (w->run == ALL_RUNS)
		return;
	(void)add_watch(s, ALL_RUNS); /* it was told what failed */
}

void on_watch(struct session *s, ProtobufCMessage **m)
{
	uint64_t run = ((const Cupel__RunRequest *)*m)->run;
	struct watch *other;
	struct run_place place;
	size_t count = 0;
	bool found = store_run_place(s->d->store, run, &place) == 0;

	run_place_done(&place);
	TAILQ_FOREACH(other, &s->watches, of_session)
	count++;
	if (!found || count >= WATCHES_MAX) {
		say_error(s, found ? EMFILE : ENOENT,
			  found ? "too many runs are watched on one connection (run %llu)"
				: "there is no run %llu",
			  (unsigned long long)run);
		return;
	}
	if (add_watch(s, run))
		run_changed(s->d, run);
}

static void tell_of(struct dispatcher *d, uint64_t id)
{
	struct watch_list *list = map_get(&d->watches, id);
	Cupel__Run *run = list ? run_shown(d, id) : NULL;
	struct watch *w, *next;

	if (!run)
		return;
	for (w = TAILQ_FIRST(list); w; w = next) {
		next = TAILQ_NEXT(w, of_run);
		w->behind = link_queued(w->session->link) > LINK_LOW;
		if (w->behind)
			continue;
		say(w->session, FRAME_RUN, &run->base);
		if (run->verdict)
			watch_free(w); /* the last one frees the list, too */
	}
	cupel__run__free_unpacked(run, NULL);
}

void watch_run_ended(struct dispatcher *d, uint64_t run)
{
	if (map_get(&d->watches, ALL_RUNS))
		(void)map_put(&d->ended, run, d); /* without memory they miss it */
}

static void tell_followers(struct dispatcher *d)
{
	struct watch_list *list = map_get(&d->watches, ALL_RUNS);

	for (size_t i = 0; list && i < d->ended.size; i++) {
		Cupel__Run *run =
			d->ended.slots[i].value ? run_shown(d, d->ended.slots[i].key) : NULL;
		struct watch *w;

		if (!run)
			continue;
		TAILQ_FOREACH(w, list, of_run)
		if (run->verdict && link_queued(w->session->link) <= FOLLOW_MAX)
			say(w->session, FRAME_RUN, &run->base);
		cupel__run__free_unpacked(run, NULL);
	}
	map_done(&d->ended);
}

void watch_tell(struct dispatcher *d)
{
	struct map changed = d->changed;

	if (d->ended.count)
		tell_followers(d);
	if (!changed.count)
		return;
	d->changed = (struct map){0};
	for (size_t i = 0; i < changed.size; i++)
		if (changed.slots[i].value)
			tell_of(d, changed.slots[i].key);
	map_done(&changed);
}

void watch_drained(struct session *s)
{
	struct watch *w;

	TAILQ_FOREACH(w, &s->watches, of_session)
	if (w->behind) {
		run_changed(s->d, w->run);
		turn_wanted(s->d);
	}
}

void watch_stop(struct session *s)
{
	while (!TAILQ_EMPTY(&s->watches))
		watch_free(TAILQ_FIRST(&s->watches));
}
