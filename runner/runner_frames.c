#include "runner/runner_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "runner/launch.h"

#include <stdlib.h>
#include <string.h>

#define PLANS_MAX(slots) (2 * (slots) + 2) /* they are short, and take no slot */

/* --- hello
 * ---------------------------------------------------------------------------------------- */

static size_t count_attempts(const struct runner *r)
{
	const struct attempt *a;
	size_t n = 0;

	TAILQ_FOREACH(a, &r->attempts, entry)
	n++;
	return n;
}

static Cupel__State told_state(const struct attempt *a)
{
	return a->answer.message ? CUPEL__STATE__STATE_FINISHING : a->state;
}

static bool fill_held(struct runner *r)
{
	size_t count = count_attempts(r), n = 0;
	struct attempt *a;

	free(r->held);
	free(r->held_list);
	r->held = calloc(count + 1, sizeof(*r->held));
	r->held_list = calloc(count + 1, sizeof(*r->held_list));
	if (!r->held || !r->held_list)
		return false;
	TAILQ_FOREACH(a, &r->attempts, entry)
	{
		Cupel__Held *held = &r->held[n];

		if (a->acked)
			continue; /* only our own cleaning is left of it */
		cupel__held__init(held);
		held->attempt = a->ticket.assign->attempt;
		held->state = told_state(a);
		held->log_length = a->window.length;
		held->ended = a->answer.message != NULL;
		r->held_list[n++] = held;
	}
	r->info.held = r->held_list;
	r->info.n_held = n;
	return true;
}

void runner_hello(void *context, Cupel__Hello *hello)
{
	struct runner *r = context;
	size_t labels = 0;

	cupel__runner_info__init(&r->info);
	ceiling_capacity(&r->owner, &r->capacity);
	while (r->options.labels[labels])
		labels++;
	r->info.incarnation = (ProtobufCBinaryData){sizeof(r->incarnation), r->incarnation};
	r->info.labels = (char **)r->options.labels; /* packed, never changed */
	r->info.n_labels = labels;
	r->info.capacity = &r->capacity;
	if (!fill_held(r))
		log_error("there is no memory to say what is held: it will be lost");
	hello->runner = &r->info;
}

void runner_up(void *context, const Cupel__Welcome *welcome)
{
	struct runner *r = context;
	int64_t now = clock_boot_ms();

	r->heartbeat_ms = welcome->heartbeat_ms ? welcome->heartbeat_ms : 5000;
	r->lease_ms = welcome->lease_ms;
	r->beats_open = 0;
	log_info("the dispatcher is there (%s)", welcome->software);
	for (size_t i = 0; i < welcome->n_held; i++) {
		const Cupel__HeldAnswer *answer = welcome->held[i];
		struct attempt *a = attempt_find(r, answer->attempt);

		if (!a)
			continue;
		if (answer->proceed) {
			attempt_renew(a, now);
			attempt_connected(a, answer->log_durable);
		} else {
			log_info("%s: dropped: %s", a->name, answer->reason);
			attempt_drop(a, answer->reason);
		}
	}
	runner_beat(r);
}

/* --- heartbeats
 * ----------------------------------------------------------------------------------- */

static void fill_progress(struct attempt *a, Cupel__Progress *p, Cupel__Usage *usage)
{
	cupel__progress__init(p);
	launch_usage(&a->usage, usage);
	p->attempt = a->ticket.assign->attempt;
	p->state = told_state(a);
	p->usage = usage;
	p->log_length = a->window.length;
}

static int send_beat(struct runner *r, struct link *link)
{
	size_t count = count_attempts(r), n = 0;
	Cupel__Progress *progress = calloc(count + 1, sizeof(*progress));
	Cupel__Progress **list = calloc(count + 1, sizeof(Cupel__Progress *));
	Cupel__Usage *usage = calloc(count + 1, sizeof(*usage));
	Cupel__Heartbeat m = CUPEL__HEARTBEAT__INIT;
	Cupel__Capacity unused;
	struct attempt *a;
	struct taken taken;
	unsigned plans;
	int rc = -ENOMEM;

	if (progress && list && usage) {
		TAILQ_FOREACH(a, &r->attempts, entry)
		{
			fill_progress(a, &progress[n], &usage[n]);
			list[n] = &progress[n];
			n++;
		}
		attempt_books(r, &taken, &plans);
		ceiling_unused(&r->owner, &taken, &unused);
		m.unused = &unused;
		m.attempts = list;
		m.n_attempts = n;
		m.pressure = (char *)runner_pressure(r);
		rc = link_send(link, FRAME_HEARTBEAT, &m.base);
	}
	free(progress);
	free(list);
	free(usage);
	return rc;
}

void runner_beat(struct runner *r)
{
	struct link *link = dial_link(r->dial);
	struct timeval next = {.tv_sec = (time_t)(r->heartbeat_ms / 1000),
			       .tv_usec = (suseconds_t)(r->heartbeat_ms % 1000 * 1000)};
	struct attempt *a;

	if (!link)
		return; /* the next connection beats again */
	if (r->beats_open < HEARTBEATS_OPEN && send_beat(r, link) == 0)
		r->beats[r->beats_open++] = clock_boot_ms();
	TAILQ_FOREACH(a, &r->attempts, entry)
	if (a->state == CUPEL__STATE__STATE_RUNNING)
		attempt_order(a, CONTROL_ASK, ""); /* what the next one tells */
	(void)event_add(r->beat, &next); /* fails without memory only: then the lease ends it */
}

/* It asks whether we stop: an ended attempt may have crossed its acknowledgement, once. */
static void on_revoked(struct attempt *a, const char *reason)
{
	if (a->acked || (a->answer.message && a->revoked++ == 0))
		return;
	log_info("%s: dropped: %s", a->name, reason);
	attempt_drop(a, reason);
}

static void on_lease(struct runner *r, ProtobufCMessage **m)
{
	const Cupel__Lease *lease = (const Cupel__Lease *)*m;
	int64_t from;

	if (!r->beats_open)
		return; /* an answer to nothing */
	from = r->beats[0];
	r->beats_open--;
	memmove(r->beats, r->beats + 1, r->beats_open * sizeof(*r->beats));
	for (size_t i = 0; i < lease->n_attempts; i++) {
		struct attempt *a = attempt_find(r, lease->attempts[i]->attempt);

		if (!a)
			continue;
		if (lease->attempts[i]->renewed)
			attempt_renew(a, from);
		else
			on_revoked(a, lease->attempts[i]->reason);
	}
}

/* --- assignments
 * ---------------------------------------------------------------------------------- */

static bool has_label(const struct runner *r, const char *label)
{
	for (const char *const *l = r->options.labels; *l; l++)
		if (strcmp(*l, label) == 0)
			return true;
	return false;
}

static enum ceiling_answer judge_job(struct runner *r, const Cupel__JobSpec *spec,
				     const struct taken *taken, Cupel__Limits *granted,
				     struct error *reason)
{
	for (size_t i = 0; i < spec->n_labels; i++) {
		if (has_label(r, spec->labels[i]))
			continue;
		(void)error_say(reason, ENOTSUP, "this runner has no label '%s'", spec->labels[i]);
		return CEILING_NEVER;
	}
	if (strcmp(spec->network, "host") == 0 && !r->owner.network_host) {
		(void)error_say(reason, EPERM,
				"the owner of this box doesn't allow 'network: host' "
				"(--allow-network-host)");
		return CEILING_NEVER;
	}
	return ceiling_grant(spec->limits, &r->owner, taken, runner_can(r, spec->limits), granted,
			     reason);
}

static enum ceiling_answer judge(struct runner *r, const Cupel__Assign *assign,
				 Cupel__Limits *granted, struct error *reason)
{
	const char *pressure = runner_pressure(r);
	struct taken taken;
	unsigned plans;

	attempt_books(r, &taken, &plans);
	if (r->draining || r->stopping)
		(void)error_say(reason, EAGAIN, "the runner is %s",
				r->stopping ? "stopping" : "draining");
	else if (*pressure)
		(void)error_say(reason, ENOSPC, "%s", pressure);
	else if (assign->kind == CUPEL__KIND__KIND_PLAN && plans >= PLANS_MAX(r->owner.slots))
		(void)error_say(reason, EAGAIN, "enough plans are being made");
	if (reason->code)
		return CEILING_NOT_NOW;
	if (assign->kind == CUPEL__KIND__KIND_PLAN)
		return CEILING_GRANTED;
	if (assign->spec)
		return judge_job(r, assign->spec, &taken, granted, reason);
	(void)error_say(reason, EBADMSG, "the assignment holds no job");
	return CEILING_NEVER;
}

static void send_accept(struct attempt *a, struct link *link)
{
	Cupel__Accept m = CUPEL__ACCEPT__INIT;

	m.attempt = a->ticket.assign->attempt;
	m.granted = a->ticket.granted;
	(void)link_send(link, FRAME_ACCEPT, &m.base); /* a lost link asks again */
}

static void send_decline(struct link *link, uint64_t job, uint32_t epoch, bool never,
			 const char *reason)
{
	Cupel__Attempt id = CUPEL__ATTEMPT__INIT;
	Cupel__Decline m = CUPEL__DECLINE__INIT;

	id.job = job;
	id.epoch = epoch;
	m.attempt = &id;
	m.never = never;
	m.reason = (char *)reason;
	(void)link_send(link, FRAME_DECLINE, &m.base); /* a lost link asks again */
}

static void on_assign(struct runner *r, ProtobufCMessage **m)
{
	Cupel__Assign *assign = (Cupel__Assign *)*m;
	struct attempt *a = attempt_find(r, assign->attempt);
	const Cupel__Attempt id = *assign->attempt;
	struct link *link = dial_link(r->dial);
	struct error reason = {0};
	enum ceiling_answer answer;
	Cupel__Limits granted;

	if (a) {
		send_accept(a, link); /* it asks again for what is held */
		return;
	}
	answer = judge(r, assign, &granted, &reason);
	if (answer == CEILING_GRANTED) {
		bool plan = assign->kind == CUPEL__KIND__KIND_PLAN;

		*m = NULL; /* the attempt's now */
		a = attempt_start(r, assign, plan ? NULL : &granted, &reason);
	}
	if (a)
		send_accept(a, link);
	else
		send_decline(link, id.job, id.epoch, answer == CEILING_NEVER, reason.text);
}

/* --- the rest
 * ------------------------------------------------------------------------------------- */

static void on_log_ack(struct runner *r, ProtobufCMessage **m)
{
	const Cupel__LogAck *ack = (const Cupel__LogAck *)*m;
	struct attempt *a = attempt_find(r, ack->attempt);

	if (!a)
		return;
	window_ack(&a->window, ack->durable, ack->credit);
	attempt_send(a);
}

static void on_result_ack(struct runner *r, ProtobufCMessage **m)
{
	const Cupel__ResultAck *ack = (const Cupel__ResultAck *)*m;
	struct attempt *a = attempt_find(r, ack->attempt);

	if (!a || !a->answer.message)
		return;
	if (ack->stale)
		log_info("%s: its result came too late to count", a->name);
	a->acked = true;
	attempt_send(a);
}

static void on_stop(struct runner *r, ProtobufCMessage **m)
{
	const Cupel__Stop *stop = (const Cupel__Stop *)*m;
	struct attempt *a = attempt_find(r, stop->attempt);

	if (!a)
		return;
	a->stopped = true;
	attempt_order(a, CONTROL_CANCEL, *stop->reason ? stop->reason : "it was cancelled");
	attempt_send(a);
}

static void on_drain(struct runner *r, ProtobufCMessage **m)
{
	r->draining = !((const Cupel__Drain *)*m)->off;
	log_info(r->draining ? "draining: nothing new is taken" : "taking jobs again");
}

static void on_limits(struct runner *r, ProtobufCMessage **m)
{
	const Cupel__SetLimits *set = (const Cupel__SetLimits *)*m;
	const Cupel__Capacity *c = set->capacity;
	struct owner_limits wanted = r->owner;
	struct error err = {0};

	if (!c)
		return;
	wanted.slots = c->slots ? c->slots : wanted.slots;
	wanted.cpu_milli = c->cpu_milli;
	wanted.memory = c->memory;
	wanted.tasks = c->tasks;
	if (c->ceiling) {
		wanted.ceiling = *c->ceiling;
		wanted.ceiling.base =
			(ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(&cupel__limits__descriptor);
	}
	if (wanted.slots > RUNNER_SLOTS_MAX)
		(void)error_say(&err, EINVAL, "at most %d slots are possible", RUNNER_SLOTS_MAX);
	else
		(void)ceiling_check(&wanted, r->can, &err);
	if (err.code) {
		log_warning("new limits are refused: %s", err.text);
		(void)link_send_error(dial_link(r->dial), err.code, "%s", err.text);
		return;
	}
	r->owner = wanted;
	log_info("new limits: %u slots", wanted.slots);
	runner_beat(r);
}

static void on_error(struct runner *r, ProtobufCMessage **m)
{
	(void)r;
	log_warning("the dispatcher says: %s", ((const Cupel__Error *)*m)->text);
}

void runner_frame(void *context, const struct frame *frame)
{
	static const struct {
		uint8_t type;
		void (*take)(struct runner *r, ProtobufCMessage **m); /* may keep it: NULL then */
	} known[] = {
		{FRAME_ASSIGN, on_assign},   {FRAME_LEASE, on_lease},
		{FRAME_LOG_ACK, on_log_ack}, {FRAME_RESULT_ACK, on_result_ack},
		{FRAME_STOP, on_stop},       {FRAME_DRAIN, on_drain},
		{FRAME_ERROR, on_error},     {FRAME_RUNNER_LIMITS, on_limits},
	};
	struct runner *r = context;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		ProtobufCMessage *m = NULL;
		struct error err = {0};

		if (known[i].type != frame->type)
			continue;
		if (message_unpack(frame, &m, &err) < 0) {
			log_warning("the dispatcher sent what can't be read: %s", err.text);
			return;
		}
		known[i].take(r, &m);
		if (m)
			message_free(m);
		return;
	}
}
