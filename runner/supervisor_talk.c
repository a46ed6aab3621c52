#include "runner/supervisor_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "runner/launch.h"

#include <stdio.h>
#include <string.h>

void talk_end(struct supervisor *s, int kind, const char *reason)
{
	if (s->ending.kind != ENDING_NONE)
		return;
	s->ending.kind = kind;
	(void)snprintf(s->ending.reason, sizeof(s->ending.reason), "%s", reason);
	if (s->sandbox)
		sandbox_kill(s->sandbox, reason);
}

static void obey(struct supervisor *s, struct control_order *o)
{
	o->reason[sizeof(o->reason) - 1] = '\0';
	switch (o->kind) {
	case CONTROL_LEASE:
		lease_renew(&s->lease, o->from_ms, o->lease_ms);
		break;
	case CONTROL_CANCEL:
		talk_end(s, ENDING_CANCELLED, *o->reason ? o->reason : "it was cancelled");
		break;
	case CONTROL_ABORT:
		talk_end(s, ENDING_ABORTED, *o->reason ? o->reason : "the runner gave it up");
		break;
	case CONTROL_ASK:
		s->report_due = true;
		break;
	default:
		break; /* a later version's; nothing that this one could do */
	}
}

static void hear(struct supervisor *s)
{
	struct control_order order;
	int rc;

	if (s->connection < 0)
		return;
	while ((rc = control_receive_order(s->connection, &order)) == 1)
		obey(s, &order);
	if (rc < 0) { /* the main process died; its successor will connect */
		(void)close(s->connection);
		s->connection = -1;
	}
}

static void welcome(struct supervisor *s)
{
	int fd = control_accept(s->spec->listener);

	if (fd < 0)
		return;
	if (s->connection >= 0)
		(void)close(s->connection); /* the newer main process counts */
	s->connection = fd;
	s->report_due = true;
}

static void freeze(struct supervisor *s, bool frozen)
{
	struct error err = {0};

	s->frozen = frozen;
	if (s->sandbox && sandbox_freeze(s->sandbox, frozen, &err) < 0)
		log_warning("%s: can't be %s: %s", s->spec->name, frozen ? "frozen" : "thawed",
			    err.text);
}

static void mind_lease(struct supervisor *s)
{
	enum lease_due due = lease_due(&s->lease, clock_boot_ms());

	if (due == LEASE_KILL)
		talk_end(s, ENDING_ABORTED,
			 "its lease ran out: the runner couldn't reach the dispatcher");
	else if ((due == LEASE_FREEZE) != s->frozen)
		freeze(s, due == LEASE_FREEZE);
}

void talk_report(struct supervisor *s)
{
	s->report.version = CONTROL_VERSION;
	s->report.pid = getpid();
	s->report_due = true;
	if (s->connection < 0)
		return;
	if (s->sandbox)
		sandbox_usage(s->sandbox, &s->report.usage);
	if (control_send_report(s->connection, &s->report) != -EAGAIN)
		s->report_due = false; /* sent; or nobody is there, which hear() finds out */
}

void talk_step(struct supervisor *s)
{
	welcome(s);
	hear(s);
	mind_lease(s);
	if (s->report_due)
		talk_report(s);
}

bool talk_stop(void *context)
{
	struct supervisor *s = context;

	talk_step(s);
	return s->ending.kind != ENDING_NONE;
}

int talk_timeout(const struct supervisor *s)
{
	int64_t wait = s->ending.kind == ENDING_NONE ? lease_wait(&s->lease, clock_boot_ms()) : -1;

	return wait > 3600000 ? 3600000 : (int)wait;
}
