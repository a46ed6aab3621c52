/* payload.h - the last steps, in the process that becomes the program. */
#pragma once

#include "sandbox/plan.h"

/* Shares its parent's memory. Executes the program, or notes in the plan why it can't, and exits.
 */
_Noreturn void payload_main(struct plan *plan);
