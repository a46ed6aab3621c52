#include "dispatcher/inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* --- runners
 * ---------------------------------------------------------------------------------------------- */

static Cupel__RunnerJob *show_job(struct attempt *a, Cupel__RunnerJob *out, Cupel__Attempt *which)
{
	int64_t left = a->lease.place ? a->lease.at_ms - clock_boot_ms() : 0;

	cupel__runner_job__init(out);
	cupel__attempt__init(which);
	which->job = a->job;
	which->epoch = a->epoch;
	out->attempt = which;
	out->run = a->run;
	out->job_name = a->name;
	out->state = a->over ? CUPEL__STATE__STATE_ENDED : a->state;
	out->usage = a->usage;
	out->lease_left_ms = left > 0 ? (uint64_t)left : 0;
	return out;
}

/* Everything is borrowed but the list of jobs, which `jobs` owns. */
struct shown_jobs {
	Cupel__RunnerJob *job;
	Cupel__Attempt *which;
	Cupel__RunnerJob **list;
};

static void show_runner(struct runner *r, Cupel__Runner *out, struct shown_jobs *jobs)
{
	size_t count = 0;
	struct attempt *a;

	cupel__runner__init(out);
	out->name = r->name;
	out->connected = r->session != NULL;
	out->draining = r->draining;
	out->n_labels = r->info->n_labels;
	out->labels = r->info->labels;
	out->capacity = r->info->capacity;
	out->unused = r->unused;
	if (r->pressure)
		out->pressure = r->pressure;
	if (r->software)
		out->software = r->software;
	out->seen_at_ms = (uint64_t)(r->session ? clock_wall_ms() : r->seen_at_ms);
	TAILQ_FOREACH(a, &r->attempts, entry)
	count++;
	jobs->job = calloc(count + 1, sizeof(*jobs->job));
	jobs->which = calloc(count + 1, sizeof(*jobs->which));
	jobs->list = calloc(count + 1, sizeof(*jobs->list));
	if (!jobs->job || !jobs->which || !jobs->list)
		return; /* shown without its jobs */
	TAILQ_FOREACH(a, &r->attempts, entry)
	{
		jobs->list[out->n_jobs] =
			show_job(a, &jobs->job[out->n_jobs], &jobs->which[out->n_jobs]);
		out->n_jobs++;
	}
	out->jobs = jobs->list;
}

#define RUNNERS_SHOWN ((size_t)2000) /* so that the answer fits into a frame */
#define SHOW_MAX      ((size_t)900000)

void on_runners(struct session *s, ProtobufCMessage **m)
{
	struct dispatcher *d = s->d;
	Cupel__RunnerList answer = CUPEL__RUNNER_LIST__INIT;
	Cupel__Runner *shown = calloc(RUNNERS_SHOWN, sizeof(*shown));
	Cupel__Runner **list = calloc(RUNNERS_SHOWN, sizeof(*list));
	struct shown_jobs *jobs = calloc(RUNNERS_SHOWN, sizeof(*jobs));
	size_t size = 0, count = 0;
	struct runner *r;

	(void)m;
	TAILQ_FOREACH(r, &d->runners.all, entry)
	{
		if (!shown || !list || !jobs || count == RUNNERS_SHOWN)
			break;
		show_runner(r, &shown[count], &jobs[count]);
		size += cupel__runner__get_packed_size(&shown[count]) + 8;
		list[count] = &shown[count];
		count++;
		answer.n_runners = size <= SHOW_MAX ? count : answer.n_runners;
	}
	answer.runners = list;
	say(s, FRAME_RUNNER_LIST, &answer.base);
	for (size_t i = 0; i < count; i++) {
		free(jobs[i].job);
		free(jobs[i].which);
		free(jobs[i].list);
	}
	free(jobs);
	free(list);
	free(shown);
}

void on_drain(struct session *s, ProtobufCMessage **m)
{
	const Cupel__DrainRequest *w = (const Cupel__DrainRequest *)*m;
	struct runner *r = runners_find(&s->d->runners, w->runner);
	Cupel__Drain drain = CUPEL__DRAIN__INIT;

	if (!r) {
		say_error(s, ENOENT, "there is no runner %s", w->runner);
		return;
	}
	if (store_runner_drain(s->d->store, r->name, !w->off) < 0)
		return; /* the commit fails and tells */
	r->draining = !w->off;
	runner_update(&s->d->runners, r);
	s->d->runners.generation++;
	drain.off = w->off;
	say(r->session, FRAME_DRAIN, &drain.base);
	if (w->off)
		say_done(s, "runner %s takes jobs again", r->name);
	else
		say_done(s, "runner %s takes nothing new and finishes what it has", r->name);
}

/* Only what was said changes. */
static void merge(Cupel__Capacity *to, const Cupel__Capacity *from)
{
	if (from->slots)
		to->slots = from->slots;
	if (from->cpu_milli)
		to->cpu_milli = from->cpu_milli;
	if (from->memory)
		to->memory = from->memory;
	if (from->tasks)
		to->tasks = from->tasks;
}

void on_set_limits(struct session *s, ProtobufCMessage **m)
{
	const Cupel__SetLimits *w = (const Cupel__SetLimits *)*m;
	struct runner *r = runners_find(&s->d->runners, w->runner);

	if (!r || !w->capacity) {
		say_error(s, ENOENT,
			  r ? "no limits were said for runner %s" : "there is no runner %s",
			  w->runner);
		return;
	}
	if (!r->session) {
		say_error(s, ENOTCONN, "runner %s is not connected: its limits stay as they are",
			  r->name);
		return;
	}
	say(r->session, FRAME_RUNNER_LIMITS, *m);
	merge(r->info->capacity, w->capacity);
	runner_update(&s->d->runners, r);
	queue_reopen(&s->d->queue, r, true);
	s->d->runners.generation++;
	say_done(s, "runner %s was told its limits", r->name);
}

/* --- tokens
 * -----------------------------------------------------------------------------------------------
 */

/* Where a token tells its bearer to dial. */
static int token_address(struct dispatcher *d, struct link_address *out, struct error *err)
{
	unsigned port = dispatcher_port(d);

	if (d->options.advertise)
		return link_address_parse(d->options.advertise, out, err);
	for (size_t i = 0; port && i < d->options.listen_count; i++) {
		if (strncmp(d->options.listen[i], "unix:", 5) == 0)
			continue;
		if (link_address_parse(d->options.listen[i], out, err) < 0)
			return -EINVAL;
		if (strcmp(out->host, "0.0.0.0") == 0 || strcmp(out->host, "::") == 0)
			return error_say(
				err, EADDRNOTAVAIL,
				"the dispatcher listens on all addresses and can't know by which "
				"one others reach it: start it with --advertise HOST:PORT");
		(void)snprintf(out->port, sizeof(out->port), "%hu", (unsigned short)port);
		return 0;
	}
	return error_say(
		err, ENOTCONN,
		"the dispatcher listens on its unix socket only, and nobody could reach it with a "
		"token: start it with --listen HOST:PORT (or --advertise)");
}

static void drop_token(struct session *s, const char *name)
{
	struct session *other, *next;

	if (store_token_drop(s->d->store, name) != 1) {
		say_error(s, ENOENT, "there is no token for %s", name);
		return;
	}
	for (other = TAILQ_FIRST(&s->d->sessions); other; other = next) {
		next = TAILQ_NEXT(other, entry);
		if (!link_peer(other->link)->local &&
		    strcmp(link_peer(other->link)->name, name) == 0)
			session_dismiss(other, EACCES, "the token of %s was revoked", name);
	}
	say_done(s, "the token of %s is worth nothing any more", name);
}

/* Replacing a secret by mistake would lock out who bears the old one. */
static bool is_taken(struct session *s, const char *name)
{
	uint8_t secret[LINK_SECRET];
	Cupel__Role role;
	bool found = store_token_find(s->d->store, name, secret, &role);

	explicit_bzero(secret, sizeof(secret));
	if (found)
		say_error(
			s, EEXIST,
			"there is a token of %s already, for a %s: --replace makes a new one and the "
			"old one void, --revoke ends it",
			name, role_word(role));
	return found;
}

void on_enroll(struct session *s, ProtobufCMessage **m)
{
	const Cupel__Enroll *w = (const Cupel__Enroll *)*m;
	char text[sizeof(struct link_token) + 3 * LINK_SECRET + 64];
	Cupel__Token answer = CUPEL__TOKEN__INIT;
	struct link_token token = {0};
	struct error err = {0};

	if (w->revoke) {
		drop_token(s, w->name);
		return;
	}
	if (w->role == CUPEL__ROLE__ROLE_NONE) {
		say_error(s, EINVAL,
			  "a token needs a role: runner, observer, submitter, reader or admin");
		return;
	}
	if (!w->replace && is_taken(s, w->name))
		return;
	if (token_address(s->d, &token.address, &err) < 0) {
		say_error(s, err.code, "%s", err.text);
		return;
	}
	(void)snprintf(token.name, sizeof(token.name), "%s", w->name); /* names fit */
	if (getrandom(token.secret, sizeof(token.secret), 0) != sizeof(token.secret) ||
	    link_token_format(&token, text, sizeof(text)) < 0) {
		say_error(s, EIO, "no token could be made");
		return;
	}
	if (store_token_put(s->d->store, token.name, w->role, token.secret, clock_wall_ms()) < 0)
		return; /* the commit fails and tells */
	answer.token = text;
	say(s, FRAME_TOKEN, &answer.base);
	log_info("%s enrolled %s as %s", s->name, token.name, role_word(w->role));
	explicit_bzero(&token, sizeof(token));
	explicit_bzero(text, sizeof(text));
}
