#include "runner/window.h"

void window_reset(struct window *w, uint64_t durable)
{
	w->sent = w->durable = durable;
	w->limit = durable + WINDOW_FIRST_CREDIT;
}

void window_ack(struct window *w, uint64_t durable, uint64_t credit)
{
	if (durable <= w->durable && w->sent > durable)
		w->sent = durable;
	if (w->sent < durable)
		w->sent = durable; /* it has more than this connection sent: an earlier one did */
	w->durable = durable;
	w->limit = credit > UINT64_MAX - durable ? UINT64_MAX : durable + credit;
}

size_t window_next(const struct window *w, size_t max)
{
	uint64_t end = w->length < w->limit ? w->length : w->limit;

	if (w->sent >= end)
		return 0;
	return end - w->sent < max ? (size_t)(end - w->sent) : max;
}

void window_sent(struct window *w, size_t length)
{
	w->sent += length;
}

bool window_all_sent(const struct window *w)
{
	return w->sent >= w->length;
}
