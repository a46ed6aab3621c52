/* payload.h - the process that becomes the program, from its first process's side. */
#pragma once

#include "sandbox/plan.h"

struct payload {
	struct plan early; /* as the plan was then: all that is needed before the gate */
	struct plan *plan; /* borrowed; not looked at before */
	pid_t pid;
	int pidfd; /* tells its end also where somebody traces it; owned */
	int gate;  /* 1: the plan is final */
	int at;    /* PAYLOAD_* */
};

enum {
	PAYLOAD_GONE,   /* it has executed the program, or died; the kernel writes this */
	PAYLOAD_BEGINS, /* it takes the job's user and the filter */
	PAYLOAD_WAITS,  /* before the gate */
};

/* Makes it; a ready sandbox's has the job's user and the filter when this returns, and waits before
 * the gate. It shares memory and descriptors until it executes the program: `p` stays where it is.
 * 0 or -errno, and told in the plan. */
int payload_start(struct payload *p, struct plan *plan);

/* Opens the gate, and returns when the program was executed, or with plan->failure told. */
void payload_run(struct payload *p);
