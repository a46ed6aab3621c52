/* init.h - the child's side: sets everything up, then is pid 1 of the job until the program ends.
 */
#pragma once

#include "sandbox/plan.h"

/* In the child of launch.c; says on plan->control how it goes. */
_Noreturn void init_main(struct plan *plan);

/* For tests of the failure paths: the step that is made to fail with EIO, or to kill the child. */
extern enum step init_fail_at;
extern bool init_die_there;
