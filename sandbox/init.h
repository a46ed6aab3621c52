/* init.h - the child's side: sets everything up, then is pid 1 of the job until the program ends.
 */
#pragma once

#include "sandbox/plan.h"

/* In the child of launch.c; says on plan->control how it goes. */
_Noreturn void init_main(struct plan *plan);

/* What a step of the child failed on goes into plan->failure, which is told. */
void init_failed(struct plan *plan, enum step step, int code);

/* For tests of the failure paths: what is made to happen before a step. */
struct fault {
	enum step step;
	enum {
		FAULT_FAIL, /* it fails with EIO */
		FAULT_DIE,  /* its process dies */
		FAULT_HALT, /* its process waits for ever, and the caller stops itself */
	} kind;
};
extern struct fault init_fault;

/* In the child, at that step; 0: it goes on, or -errno. */
int init_suffer(const struct plan *plan);

/* A child of that birth does that step, here or as the program. */
bool init_does(enum step step, enum birth birth);
