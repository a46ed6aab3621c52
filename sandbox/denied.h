/* denied.h - answers the system calls that the filter denies, and counts them by name. */
#pragma once

#include "sandbox/sandbox.h"

struct denied_calls {
	int number[SANDBOX_DENIED_MAX];
	uint64_t count[SANDBOX_DENIED_MAX];
	size_t used;
};

/* Answers what waits at the listener, without waiting itself. False: nothing more will come. */
bool denied_answer(int listener, struct denied_calls *calls);

void denied_report(const struct denied_calls *calls, struct sandbox_outcome *out);
