/* prove.h - attacks the sandbox on this host, and tells for each whether it was contained. */
#pragma once

#include <stdbool.h>

/* Calls `line` for each attack; returns how many got through. */
int prove(void (*line)(void *context, bool contained, const char *attack, const char *detail),
	  void *context);
