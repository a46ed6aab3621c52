#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Below this much room new work is refused, so that what was begun can still be written down. */
#define SPACE_MIN     ((uint64_t)32 << 20)
#define SPACE_LOOK_MS 1000
#define LOG_RETRY_S   1 /* while the disk is full */

/* --- the turn
 * ----------------------------------------------------------------------------------------- */

void turn_wanted(struct dispatcher *d)
{
	event_active(d->turn, 0, 0);
}

void run_changed(struct dispatcher *d, uint64_t run)
{
	if (d->watches.count)
		(void)map_put(&d->changed, run, d); /* no memory: the next change shows it */
}

bool room_for_more(struct dispatcher *d, struct error *err)
{
	int64_t now = clock_boot_ms();
	struct statvfs fs;

	if (!d->space_checked_ms || now - d->space_checked_ms >= SPACE_LOOK_MS) {
		d->space_checked_ms = now;
		d->space_left = fstatvfs(d->dir, &fs) < 0 ||
				(uint64_t)fs.f_bavail * fs.f_frsize >= SPACE_MIN;
	}
	if (!d->space_left)
		(void)error_say(err, ENOSPC,
				"the dispatcher's disk is full (%s): make room, then send it again",
				d->options.state);
	return d->space_left;
}

/* As after a crash: what the store says holds. Whoever spoke in this turn has to say it again;
 * runners and observers do that by themselves when they come back. */
static void begin_anew(struct dispatcher *d, const struct error *why)
{
	struct session *s, *next;
	struct error err = {0};

	log_error("nothing could be stored: %s", why->text);
	d->space_checked_ms = 0;
	outbox_drop(d);
	for (s = TAILQ_FIRST(&d->sessions); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->role == CUPEL__ROLE__ROLE_RUNNER || s->spoke == d->turns || s->owed)
			session_dismiss(s, why->code, "the dispatcher could not store it: %s",
					why->text);
	}
	unload(d);
	if (load(d, &err) < 0) {
		log_error("the state can't be read any more: %s", err.text);
		(void)event_base_loopbreak(d->base); /* the program's end says the same */
	}
}

static void commit(struct dispatcher *d)
{
	struct error err = {0};

	if (store_dirty(d->store) && store_commit(d->store, &err) < 0)
		begin_anew(d, &err);
	d->turns++;
	outbox_flush(d);
	outbox_dismiss_doomed(d);
	sessions_may_ask(d);
}

static void turn(evutil_socket_t fd, short what, void *context)
{
	struct dispatcher *d = context;

	(void)fd;
	(void)what;
	life_assign(d);
	commit(d);
	watch_tell(d);
}

static void turn_wanted_by(void *context)
{
	turn_wanted(context);
}

/* --- logs that became durable
 * ------------------------------------------------------------------------- */

static void synced(void *context, struct joblog *log)
{
	struct dispatcher *d = context;
	uint64_t job;
	uint32_t epoch;
	struct attempt *a;

	joblog_whose(log, &job, &epoch);
	a = attempt_find(d, job, epoch);
	if (!a || a->over)
		return;
	attempt_ack_log(a);
	if (a->result)
		attempt_conclude(a);
}

/* Runners whose log met a full disk are told what we have, so that they send the rest again. */
static void retry_logs(evutil_socket_t fd, short what, void *context)
{
	struct dispatcher *d = context;
	size_t at = 0;
	struct attempt *a;

	(void)fd;
	(void)what;
	while ((a = map_next(&d->attempts, &at)))
		if (a->log_refused && !a->over) {
			a->log_refused = false;
			attempt_ack_log(a);
		}
}

/* --- memory from the store
 * ---------------------------------------------------------------------------- */

static void load_runner(void *context, const struct runner_row *row)
{
	struct dispatcher *d = context;
	struct runner *r = runners_find(&d->runners, row->name);

	if (!r)
		r = runners_add(&d->runners, row->name);
	if (!r || runner_describe(&d->runners, r, row->software, row->info) < 0)
		return; /* no memory: it will say hello */
	if (row->incarnation)
		memcpy(r->incarnation, row->incarnation, sizeof(r->incarnation));
	r->draining = row->draining;
	r->seen_at_ms = row->seen_at_ms;
}

/* One full lease of grace: its runner may just not have found back yet. */
static void take_up(struct attempt *a, const struct attempt_row *row, const Cupel__JobSpec *spec)
{
	a->state = row->state;
	a->arrived = row->state != CUPEL__STATE__STATE_ASSIGNED;
	attempt_bound(a, spec);
	attempt_granted(a, row->wall_ms, row->idle_ms, row->output);
	attempt_renew(a);
	attempt_deadlines(a, row->started_at_ms);
	if (attempt_log(a))
		joblog_sync(a->log);
}

static void load_attempt(void *context, const struct attempt_row *row)
{
	struct dispatcher *d = context;
	struct runner *r = runners_find(&d->runners, row->runner);
	Cupel__JobSpec *spec = store_job_spec(d->store, row->job);
	struct attempt *a;

	if (!r)
		r = runners_add(&d->runners, row->runner);
	a = r ? attempt_new(d, r, row->job, row->run, row->epoch, row->kind, row->name) : NULL;
	if (!a) {
		log_error("no memory for attempt %u of job %llu", row->epoch,
			  (unsigned long long)row->job);
	} else {
		take_up(a, row, spec);
	}
	if (spec)
		cupel__job_spec__free_unpacked(spec, NULL);
}

static void load_job(void *context, const struct job_row *row)
{
	life_enqueue(context, row->id, row->run, row->kind, row->urgent, row->avoid);
}

int load(struct dispatcher *d, struct error *err)
{
	store_runners(d->store, load_runner, d);
	store_attempts_live(d->store, load_attempt, d);
	store_jobs_queued(d->store, load_job, d);
	if (store_failure(d->store))
		return error_set(err, -store_failure(d->store), "read %s", d->options.state);
	return 0;
}

void unload(struct dispatcher *d)
{
	struct runner *r;

	TAILQ_FOREACH(r, &d->runners.all, entry)
	while (!TAILQ_EMPTY(&r->attempts))
		attempt_free(TAILQ_FIRST(&r->attempts));
	queue_done(&d->queue);
	queue_init(&d->queue);
}

/* --- opening and closing
 * -------------------------------------------------------------------------------- */

static int lock_state(struct dispatcher *d, struct error *err)
{
	owned_buffer holder = {0};
	char pid[32];

	d->lock = fd_lock(d->dir, "lock");
	if (d->lock == -EWOULDBLOCK) {
		(void)fd_read_file(d->dir, "lock", 64, &holder); /* only says who */
		return error_say(
			err, EBUSY,
			"%s is in use by another dispatcher (process %ld): stop it, or choose "
			"another --state",
			d->options.state, holder.data ? atol(holder.data) : 0L);
	}
	if (d->lock < 0)
		return error_set(err, -d->lock, "lock %s", d->options.state);
	(void)snprintf(pid, sizeof(pid), "%ld\n", (long)getpid()); /* fits */
	if (ftruncate(d->lock, 0) < 0 || fd_write_all(d->lock, pid, strlen(pid)) < 0)
		return error_set(err, errno, "write %s/lock", d->options.state);
	return 0;
}

static int open_state(struct dispatcher *d, struct error *err)
{
	const struct joblog_callbacks callbacks = {synced, turn_wanted_by};
	int rc;

	d->dir = fd_make_path(d->options.state, 0700, err);
	if (d->dir < 0)
		return d->dir;
	rc = lock_state(d, err);
	if (rc == 0)
		rc = store_open(d->options.state, &d->store, err);
	if (rc == 0)
		rc = timers_new(d->base, turn_wanted_by, d, &d->timers, err);
	if (rc == 0)
		rc = joblogs_new(d->base, d->dir, &callbacks, d, &d->logs, err);
	return rc;
}

static void init(struct dispatcher *d, struct event_base *base,
		 const struct dispatcher_options *options)
{
	d->base = base;
	d->turns = 1;
	d->options = *options;
	d->outbox.max = options->outbox_max;
	d->dir = d->lock = -1;
	(void)snprintf(d->software, sizeof(d->software), "cupel-dispatcher %s", CUPEL_VERSION);
	TAILQ_INIT(&d->sessions);
	TAILQ_INIT(&d->asked);
	TAILQ_INIT(&d->early_tails);
	queue_init(&d->queue);
	runners_init(&d->runners);
}

int dispatcher_new(struct event_base *base, const struct dispatcher_options *options,
		   struct dispatcher **out, struct error *err)
{
	owned(dispatcher) *d = calloc(1, sizeof(*d));
	const struct timeval retry = {LOG_RETRY_S, 0};
	int rc;

	if (!d)
		return error_set(err, ENOMEM, "start the dispatcher");
	init(d, base, options);
	d->turn = event_new(base, -1, 0, turn, d);
	d->retry = event_new(base, -1, 0, retry_logs, d);
	if (!d->turn || !d->retry)
		return error_set(err, ENOMEM, "start the dispatcher");
	d->log_retry = retry;
	rc = open_state(d, err);
	if (rc == 0)
		rc = load(d, err);
	if (rc == 0)
		rc = sessions_listen(d, err);
	if (rc < 0)
		return rc;
	*out = give(d);
	return 0;
}

void dispatcher_free(struct dispatcher *d)
{
	struct error err = {0};

	if (!d)
		return;
	for (size_t i = 0; i < d->listeners_count; i++)
		link_listener_free(d->listeners[i]);
	if (d->store && store_commit(d->store, &err) == 0)
		outbox_flush(d);
	while (!TAILQ_EMPTY(&d->sessions))
		session_free(TAILQ_FIRST(&d->sessions));
	if (d->logs)
		unload(d);
	joblogs_free(d->logs);
	queue_done(&d->queue);
	runners_done(&d->runners);
	timers_free(d->timers);
	store_free(d->store);
	map_done(&d->attempts);
	map_done(&d->sessions_by_id);
	map_done(&d->changed);
	map_done(&d->ended);
	map_done(&d->watches);
	buffer_done(&d->outbox);
	if (d->turn)
		event_free(d->turn);
	if (d->retry)
		event_free(d->retry);
	if (d->lock >= 0)
		(void)close(d->lock); /* which unlocks */
	if (d->dir >= 0)
		(void)close(d->dir);
	free(d);
}

unsigned dispatcher_port(const struct dispatcher *d)
{
	unsigned port = 0;

	for (size_t i = 0; i < d->listeners_count && !port; i++)
		port = link_listener_port(d->listeners[i]);
	return port;
}
