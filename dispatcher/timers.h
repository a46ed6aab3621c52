/* timers.h - many deadlines on one clock that counts suspend (CLOCK_BOOTTIME, timerfd_create(2)).
 * A heap: setting and cancelling cost the same with ten thousand runners. */
#pragma once

#include "base/error.h"
#include "base/owned.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed is a timer that isn't set. Lives in what it belongs to. */
struct timer {
	int64_t at_ms; /* clock_boot_ms() */
	void (*expired)(void *context);
	void *context;
	size_t place; /* in the heap, from 1; 0: not set */
};

struct timers;

/* `turn` is called after a batch has expired (NULL is fine). */
int timers_new(struct event_base *base, void (*turn)(void *context), void *context,
	       struct timers **out, struct error *err);
void timers_free(struct timers *t);
OWNED(timers)

/* Sets or moves it. -ENOMEM. */
int timers_set(struct timers *t, struct timer *timer, int64_t at_ms);
void timers_cancel(struct timers *t, struct timer *timer); /* one that isn't set is fine */
