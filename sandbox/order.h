/* order.h - a plan as a packet, for a child that was born before there was a plan.
 *
 * Both sides are the same version of this library (the launcher's first word says so): the bytes
 * are the structures themselves, their pointers are offsets, and the descriptors go beside them. */
#pragma once

#include "sandbox/plan.h"

/* 0 or -errno; -EPIPE: the other end is closed. */
int order_send(int control, const struct plan *plan);

/* Waits for it, and fills `plan` but for what the child has by birth: control, root, store, title.
 * It lies in memory that goes with the process. Allocates nothing. 0 or -errno; -ESHUTDOWN: nobody
 * will send one. */
int order_receive(struct plan *plan);
