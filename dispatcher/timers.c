#include "dispatcher/timers.h"

#include "base/clock.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct timers {
	struct event *event;
	void (*turn)(void *context);
	void *context;
	struct timer **heap; /* from 1 */
	size_t count, size;
	int64_t armed_ms; /* 0: not */
	int fd;
};

static void place(struct timers *t, size_t at, struct timer *timer)
{
	t->heap[at] = timer;
	timer->place = at;
}

static void rise(struct timers *t, size_t at)
{
	struct timer *timer = t->heap[at];

	for (; at > 1 && t->heap[at / 2]->at_ms > timer->at_ms; at /= 2)
		place(t, at, t->heap[at / 2]);
	place(t, at, timer);
}

static void sink(struct timers *t, size_t at)
{
	struct timer *timer = t->heap[at];

	for (size_t child; (child = at * 2) <= t->count; at = child) {
		if (child < t->count && t->heap[child + 1]->at_ms < t->heap[child]->at_ms)
			child++;
		if (t->heap[child]->at_ms >= timer->at_ms)
			break;
		place(t, at, t->heap[child]);
	}
	place(t, at, timer);
}

/* The kernel's timer goes off at the earliest; a later one than armed is found out then. */
static void arm(struct timers *t)
{
	int64_t at = t->count ? t->heap[1]->at_ms : 0;
	struct itimerspec when = {0};

	if (!at || (t->armed_ms && t->armed_ms <= at))
		return;
	if (at < 1)
		at = 1;
	when.it_value.tv_sec = at / 1000;
	when.it_value.tv_nsec = at % 1000 * 1000000;
	(void)timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL); /* valid by construction */
	t->armed_ms = at;
}

static void remove_at(struct timers *t, size_t at)
{
	struct timer *last = t->heap[t->count--];

	t->heap[at]->place = 0;
	if (at > t->count)
		return;
	place(t, at, last);
	rise(t, at);
	sink(t, last->place);
}

static void expired(evutil_socket_t fd, short what, void *context)
{
	struct timers *t = context;
	int64_t now = clock_boot_ms();
	uint64_t times;

	(void)what;
	(void)!read(fd, &times, sizeof(times)); /* only empties it */
	t->armed_ms = 0;
	while (t->count && t->heap[1]->at_ms <= now) {
		struct timer *timer = t->heap[1];

		remove_at(t, 1);
		timer->expired(timer->context);
	}
	arm(t);
	if (t->turn)
		t->turn(t->context);
}

int timers_new(struct event_base *base, void (*turn)(void *context), void *context,
	       struct timers **out, struct error *err)
{
	owned(timers) *t = calloc(1, sizeof(*t));

	if (!t)
		return error_set(err, ENOMEM, "make the timers");
	t->turn = turn;
	t->context = context;
	t->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->fd < 0)
		return error_set(err, errno, "make the timers");
	t->event = event_new(base, t->fd, EV_READ | EV_PERSIST, expired, t);
	if (!t->event || event_add(t->event, NULL) < 0)
		return error_set(err, ENOMEM, "make the timers");
	*out = give(t);
	return 0;
}

void timers_free(struct timers *t)
{
	if (!t)
		return;
	if (t->event)
		event_free(t->event);
	if (t->fd >= 0)
		(void)close(t->fd); /* holds nothing */
	free(t->heap);
	free(t);
}

int timers_set(struct timers *t, struct timer *timer, int64_t at_ms)
{
	if (timer->place) {
		bool later = at_ms > timer->at_ms;

		timer->at_ms = at_ms;
		if (later)
			sink(t, timer->place);
		else
			rise(t, timer->place);
		arm(t);
		return 0;
	}
	if (t->count + 1 >= t->size) {
		size_t size = t->size ? t->size * 2 : 64;
		struct timer **heap = realloc(t->heap, size * sizeof(struct timer *));

		if (!heap)
			return -ENOMEM;
		t->heap = heap;
		t->size = size;
	}
	timer->at_ms = at_ms;
	place(t, ++t->count, timer);
	rise(t, t->count);
	arm(t);
	return 0;
}

void timers_cancel(struct timers *t, struct timer *timer)
{
	if (timer->place)
		remove_at(t, timer->place);
}
