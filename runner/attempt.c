#include "runner/runner_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/tree.h"
#include "proto/digest.h"
#include "runner/launch.h"
#include "runner/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define STOP_DEADLINE 8 /* s, for a supervisor to end what it was told to */

bool attempt_is_plan(const struct attempt *a)
{
	return a->ticket.assign->kind == CUPEL__KIND__KIND_PLAN;
}

struct attempt *attempt_find(struct runner *r, const Cupel__Attempt *which)
{
	struct attempt *a;

	TAILQ_FOREACH(a, &r->attempts, entry)
	if (a->ticket.assign->attempt->job == which->job &&
	    a->ticket.assign->attempt->epoch == which->epoch)
		return a;
	return NULL;
}

/* --- books
 * ---------------------------------------------------------------------------------------- */

static bool takes_slot(const struct attempt *a)
{
	return !attempt_is_plan(a) && !a->released;
}

void attempt_books(const struct runner *r, struct taken *taken, unsigned *plans)
{
	const struct attempt *a;

	*taken = (struct taken){0};
	*plans = 0;
	TAILQ_FOREACH(a, &r->attempts, entry)
	{
		if (takes_slot(a))
			ceiling_take(taken, a->ticket.granted);
		*plans += attempt_is_plan(a) && !a->answer.message;
	}
}

/* Which range of host ids is nobody's now. */
static uint32_t free_slot(const struct runner *r)
{
	const struct attempt *a;
	uint64_t used = 0;
	uint32_t slot = 0;

	TAILQ_FOREACH(a, &r->attempts, entry)
	if (takes_slot(a))
		used |= 1ull << a->ticket.slot;
	while (slot < RUNNER_SLOTS_MAX - 1 && (used >> slot & 1))
		slot++;
	return slot;
}

static void name_group(const struct attempt *a, char *out, size_t size)
{
	(void)snprintf(out, size, "%08x-%s", a->runner->hash, a->name);
}

/* --- the supervisor's end
 * ------------------------------------------------------------------------- */

static void start_cleaner(struct attempt *a)
{
	struct error err = {0};
	char group[64];

	name_group(a, group, sizeof(group));
	a->cleaner = supervisor_clean(a->runner->work, a->name, group, &err);
	if (a->cleaner > 0)
		return;
	log_error("%s: %s", a->name, err.text);
	a->cleaner = 0;
	a->released = true; /* the next start looks again: its worktree is left over then */
}

static void read_answer(struct attempt *a)
{
	struct error err = {0};

	if (!a->answer.message && spool_read_answer(a->dir, &a->answer, &err) < 0 &&
	    err.code != ENOENT)
		log_error("%s: %s", a->name, err.text);
}

/* Of a log whose supervisor can't tell it any more. */
static int digest_log(struct attempt *a, uint8_t sum[DIGEST_SIZE])
{
	owned(digest) *d = digest_new();
	char chunk[65536];
	off_t at = 0;

	while (d && a->log >= 0) {
		ssize_t n = pread(a->log, chunk, sizeof(chunk), at);

		if (n < 0 || digest_add(d, chunk, (size_t)n) < 0)
			return -EIO;
		if (n == 0)
			break;
		at += n;
	}
	return d ? digest_get(d, sum) : -ENOMEM;
}

/* A supervisor that ended without an answer: the box failed, not the job. */
static void answer_for_it(struct attempt *a, const char *reason)
{
	Cupel__Result r = CUPEL__RESULT__INIT;
	uint8_t sum[DIGEST_SIZE];
	struct error err = {0};

	r.attempt = a->ticket.assign->attempt;
	r.verdict = CUPEL__VERDICT__VERDICT_ERRORED;
	r.infrastructure = true;
	r.exit_code = -1;
	r.reason = (char *)reason;
	r.log_length = a->window.length;
	if (digest_log(a, sum) == 0)
		r.log_digest = (ProtobufCBinaryData){.data = sum, .len = sizeof(sum)};
	if (answer_copy(FRAME_RESULT, &r.base, &a->answer) < 0)
		log_error("%s: no memory for its result", a->name);
	/* it is sent all the same; the next life of the runner would find nothing, and say so again
	 */
	if (spool_write_answer(a->dir, FRAME_RESULT, &r.base, &err) < 0)
		log_error("%s: %s", a->name, err.text);
}

static void measure_log(struct attempt *a)
{
	struct stat st;

	if (a->log < 0)
		a->log = spool_open_log(a->dir, false, NULL); /* not there before the first look */
	if (a->log >= 0 && fstat(a->log, &st) == 0)
		a->window.length = (uint64_t)st.st_size;
}

/* A result that speaks of more log than there is: the box went down before it was on disk. */
static bool log_is_whole(const struct attempt *a)
{
	const Cupel__Result *r = (const Cupel__Result *)a->answer.message;

	return a->answer.type != FRAME_RESULT || r->log_length <= a->window.length;
}

static void stop_listening(struct attempt *a)
{
	if (a->heard)
		event_free(a->heard);
	if (a->overdue)
		event_free(a->overdue);
	a->heard = a->overdue = NULL;
	if (a->control >= 0)
		(void)close(a->control);
	a->control = -1;
}

static void supervisor_gone(struct attempt *a)
{
	stop_listening(a);
	measure_log(a);
	read_answer(a);
	if (a->answer.message && !log_is_whole(a))
		answer_done(&a->answer);
	if (!a->answer.message)
		answer_for_it(a, "the runner's supervisor died");
	if (a->released || attempt_is_plan(a))
		a->released = true;
	else
		start_cleaner(a);
	attempt_send(a);
}

void attempt_reap(struct runner *r, pid_t pid, int status)
{
	struct attempt *a, *next;

	for (a = TAILQ_FIRST(&r->attempts); a; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->supervisor == pid) {
			a->supervisor = 0; /* its control socket tells us that it is gone */
			return;
		}
		if (a->cleaner != pid)
			continue;
		a->cleaner = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			log_error("%s: something of it is left in %s or the control groups",
				  a->name, r->work_path);
		a->released = true;
		attempt_send(a);
		return;
	}
}

/* --- the supervisor's reports
 * --------------------------------------------------------------------- */

static void take_report(struct attempt *a, const struct control_report *report)
{
	Cupel__State before = a->state;

	a->usage = report->usage;
	if (!a->supervisor)
		a->adopted = report->pid;
	if (report->state > (uint32_t)a->state && report->state < CUPEL__STATE__STATE_ENDED)
		a->state = (Cupel__State)report->state;
	if (a->state != before)
		attempt_send_phase(a);
	if (report->answered)
		read_answer(a);
	a->released |= report->released;
}

static void on_report(evutil_socket_t fd, short what, void *context)
{
	struct attempt *a = context;
	struct control_report report;
	int rc;

	(void)what;
	while ((rc = control_receive_report((int)fd, &report)) == 1)
		take_report(a, &report);
	if (rc < 0) {
		supervisor_gone(a);
		return;
	}
	measure_log(a);
	attempt_send(a);
}

static void on_overdue(evutil_socket_t fd, short what, void *context)
{
	struct attempt *a = context;

	(void)fd;
	(void)what;
	log_warning("%s: its supervisor doesn't stop and is killed", a->name);
	/* not reaped yet, or alive since its socket is open; its end closes the socket */
	if (a->supervisor > 0)
		(void)kill(a->supervisor, SIGKILL);
	else if (a->adopted > 0)
		(void)kill(a->adopted, SIGKILL);
}

static int listen_to(struct attempt *a)
{
	a->heard = event_new(a->runner->base, a->control, EV_READ | EV_PERSIST, on_report, a);
	a->overdue = evtimer_new(a->runner->base, on_overdue, a);
	return a->heard && a->overdue && event_add(a->heard, NULL) == 0 ? 0 : -ENOMEM;
}

void attempt_order(struct attempt *a, enum control_order_kind kind, const char *reason)
{
	static const struct timeval patience = {.tv_sec = STOP_DEADLINE};
	struct control_order order = {.version = CONTROL_VERSION, .kind = kind};

	if (a->control < 0)
		return;
	(void)snprintf(order.reason, sizeof(order.reason), "%s", reason);
	(void)control_send_order(a->control, &order); /* it ends it by itself, or is overdue */
	if (kind != CONTROL_ASK && !evtimer_pending(a->overdue, NULL))
		(void)event_add(a->overdue, &patience);
}

void attempt_renew(struct attempt *a, int64_t from_ms)
{
	const struct control_order order = {.version = CONTROL_VERSION,
					    .kind = CONTROL_LEASE,
					    .from_ms = from_ms,
					    .lease_ms = (int64_t)a->runner->lease_ms};

	if (a->control >= 0)
		(void)control_send_order(a->control, &order); /* the next renewal does it as well */
}

/* --- starting
 * ------------------------------------------------------------------------------------- */

static struct attempt *attempt_new(struct runner *r)
{
	struct attempt *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->runner = r;
	a->dir = a->control = a->log = -1;
	a->state = CUPEL__STATE__STATE_ASSIGNED;
	window_reset(&a->window, 0);
	return a;
}

/* Fetch and checkout leave the floor alone; a job may go half as low. One with a limit of its own
 * is held by the sandbox. */
static void guard_disk(const struct attempt *a, struct supervisor_spec *spec)
{
	const struct runner *r = a->runner;
	struct statvfs st;
	uint64_t unused, floor;

	if (fstatvfs(r->state, &st) == 0)
		spec->fetch_least = runner_floor(r, &st);
	if (fstatvfs(r->work, &st) < 0)
		return;
	unused = (uint64_t)st.f_bavail * st.f_frsize;
	floor = runner_floor(r, &st);
	spec->bytes_max = unused > floor ? unused - floor : 1;
	if (a->ticket.granted && !a->ticket.granted->disk)
		spec->disk_least = floor / 2;
}

static int start_supervisor(struct attempt *a, struct error *err)
{
	struct runner *r = a->runner;
	char group[64];
	struct supervisor_spec spec = {.ticket = &a->ticket,
				       .dir = a->dir,
				       .work = r->work,
				       .name = a->name,
				       .cgroup = group,
				       .mirrors = r->mirrors,
				       .repositories = r->options.repositories,
				       .lease = {clock_boot_ms(), (int64_t)r->lease_ms}};

	guard_disk(a, &spec);
	name_group(a, group, sizeof(group));
	if (geteuid() == 0)
		launch_ids(r->hash, a->ticket.slot, &spec.id_base, &spec.id_count);
	spec.listener = control_listen(a->dir, err);
	if (spec.listener < 0)
		return spec.listener;
	a->control = control_connect(a->dir, err);
	if (a->control >= 0)
		a->supervisor = supervisor_start(&spec, err);
	(void)close(spec.listener);
	if (a->control < 0 || a->supervisor < 0)
		return -err->code;
	return listen_to(a) < 0 ? error_set(err, ENOMEM, "watch the supervisor") : 0;
}

struct attempt *attempt_start(struct runner *r, Cupel__Assign *assign, const Cupel__Limits *granted,
			      struct error *err)
{
	struct attempt *a = attempt_new(r);
	int rc;

	if (!a) {
		cupel__assign__free_unpacked(assign, NULL);
		(void)error_set(err, ENOMEM, "take the attempt");
		return NULL;
	}
	a->ticket = (struct ticket){.assign = assign, .granted = NULL, .slot = free_slot(r)};
	if (granted) {
		a->ticket.granted = malloc(sizeof(*granted));
		if (a->ticket.granted)
			*a->ticket.granted = *granted;
	}
	spool_name(assign->attempt->job, assign->attempt->epoch, a->name);
	TAILQ_INSERT_TAIL(&r->attempts, a, entry);
	rc = granted && !a->ticket.granted ? error_set(err, ENOMEM, "take the attempt") : 0;
	if (rc == 0)
		rc = a->dir = spool_create(r->spool, a->name, &a->ticket, err);
	if (rc >= 0)
		rc = start_supervisor(a, err);
	if (rc >= 0)
		return a;
	attempt_end(a);
	return NULL;
}

/* --- letting go
 * ----------------------------------------------------------------------------------- */

void attempt_free(struct attempt *a)
{
	TAILQ_REMOVE(&a->runner->attempts, a, entry);
	stop_listening(a);
	ticket_done(&a->ticket);
	answer_done(&a->answer);
	if (a->log >= 0)
		(void)close(a->log);
	if (a->dir >= 0)
		(void)close(a->dir);
	free(a);
}

void attempt_end(struct attempt *a)
{
	struct runner *r = a->runner;
	struct error err = {0};

	if (tree_remove(r->spool, a->name, &err) < 0)
		log_warning("%s: %s", a->name, err.text);
	attempt_free(a);
	runner_ended(r);
}

void attempt_drop(struct attempt *a, const char *reason)
{
	a->acked = true;
	if (a->control >= 0)
		attempt_order(a, CONTROL_ABORT, reason);
	else
		attempt_send(a);
}

/* --- taking over
 * ---------------------------------------------------------------------------------- */

static void forget_spool(struct runner *r, const char *name, const char *why)
{
	struct error err = {0};

	log_info("%s: %s", name, why);
	if (tree_remove(r->spool, name, &err) < 0)
		log_warning("%s: %s", name, err.text);
}

static bool makes_sense(const struct ticket *t)
{
	return t->assign->kind == CUPEL__KIND__KIND_PLAN ||
	       (t->assign->spec && t->granted && t->slot < RUNNER_SLOTS_MAX);
}

void attempt_adopt(struct runner *r, const char *name)
{
	struct attempt *a = attempt_new(r);
	struct error err = {0};

	if (!a)
		return; /* its spool stays for a start with more memory */
	a->dir = spool_open(r->spool, name, &a->ticket, &err);
	if (a->dir < 0 || !makes_sense(&a->ticket)) {
		forget_spool(r, name, a->dir < 0 ? err.text : "its assignment makes no sense here");
		ticket_done(&a->ticket);
		if (a->dir >= 0)
			(void)close(a->dir);
		free(a);
		return;
	}
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	a->state = CUPEL__STATE__STATE_PREPARING;
	TAILQ_INSERT_TAIL(&r->attempts, a, entry);
	a->control = control_connect(a->dir, &err);
	if (a->control >= 0 && listen_to(a) == 0) {
		measure_log(a);
		log_info("%s: its supervisor lives and goes on", name);
		return;
	}
	log_info("%s: its supervisor is dead", name);
	supervisor_gone(a);
}
