/* transitions.h - the life of a job and of its attempts: which moves exist, and what follows when
 * an attempt has ended. Pure: no clock, no store; everything that a decision rests on is an
 * argument. */
#pragma once

#include "proto/message.h"

#include <stdbool.h>

enum transition_of { TRANSITION_JOB, TRANSITION_ATTEMPT };

/* May a job (an attempt) go from one state to the other? STATE_NONE is "not born yet". */
bool transition_exists(enum transition_of what, Cupel__State from, Cupel__State to);

/* Assigned, preparing, running, finishing: a runner holds it. */
bool state_is_live(Cupel__State state);

/* What a job file may say under `retry`: further attempts for a verdict. */
#define RETRY_UNSAID (-1)
#define RETRY_MAX    10 /* a job file that asks for more gets this many */
struct retry_wish {
	int failed, killed, timed_out, errored; /* RETRY_UNSAID, or 0 .. RETRY_MAX */
};
void retry_wish_read(const Cupel__JobSpec *spec, struct retry_wish *out);

/* How the attempts of a job ended since it was queued for the first time or by a person, the one
 * that has just ended included. */
struct past {
	unsigned failed, killed, timed_out;
	unsigned errored;      /* by the infrastructure */
	unsigned lost_runners; /* different runners that were lost in it */
	unsigned lost;         /* however often one was */
};

#define INFRASTRUCTURE_ATTEMPTS 3 /* in all, unless the job file says otherwise */
#define POISON_RUNNERS          2 /* lost in one job: it is the job */
#define POISON_LOSSES           5 /* the same where there is one runner only */

enum follow_what {
	FOLLOW_END,     /* the attempt's verdict is the job's */
	FOLLOW_POISON,  /* the job ends as errored and waits for a person */
	FOLLOW_USED_UP, /* errored for the last time */
	FOLLOW_QUEUE,   /* again, at the head of its class */
};
struct follow {
	enum follow_what what;
	bool elsewhere; /* not on the runner it was on, while another one fits */
};

/* `verdict` is an attempt's; `infrastructure` belongs to errored; `another`: a different runner is
 * connected, fits and isn't draining. */
struct follow follow_end(Cupel__Verdict verdict, bool infrastructure, const struct past *past,
			 const struct retry_wish *wish, bool another);

/* A pass after `past` isn't a plain one. */
bool past_makes_flaky(const struct past *past);

/* The one of two verdicts that a run shows. Skipped jobs don't count. */
Cupel__Verdict verdict_worse(Cupel__Verdict a, Cupel__Verdict b);
