/* window.h - how far a log was sent, is safe, and may be sent: the sender's side of the credit.
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_FIRST_CREDIT ((uint64_t)4 << 20) /* bytes behind `durable`, before any LOG_ACK */

struct window {
	uint64_t length;  /* bytes in the spool */
	uint64_t sent;    /* bytes below were sent on this connection or are durable */
	uint64_t durable; /* bytes below are on the dispatcher's disk */
	uint64_t limit;   /* bytes below may be sent */
};

/* A new connection, or a new attempt (0): goes on at what the dispatcher has. */
void window_reset(struct window *w, uint64_t durable);

/* A LOG_ACK. One that brings nothing new means that the dispatcher waits for bytes which it doesn't
 * have: they are sent again. */
void window_ack(struct window *w, uint64_t durable, uint64_t credit);

/* Bytes to send next, at `sent`; at most `max`; 0: none now. */
size_t window_next(const struct window *w, size_t max);
void window_sent(struct window *w, size_t length);
bool window_all_sent(const struct window *w);
