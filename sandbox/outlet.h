/* outlet.h - passes a job's output on by a thread of its own: whoever reads it may be slow or stand
 * still, and the job's limits must hold meanwhile. */
#pragma once

#include "base/owned.h"

#include <stdbool.h>
#include <stddef.h>

struct outlet;

/* 0 or -errno. */
int outlet_new(struct outlet **out);

void outlet_free(struct outlet *o);
OWNED(outlet)

/* Copies the bytes for that descriptor, behind what is there already. The thread begins with the
 * first of them. */
void outlet_put(struct outlet *o, int to, const void *bytes, size_t length);

/* All has been written, or never will be. */
bool outlet_is_empty(struct outlet *o);

/* Readable when it has become empty; borrowed. Reads that away. */
int outlet_fd(const struct outlet *o);
void outlet_heard(struct outlet *o);

/* The errno of what can't be written; 0. From then on everything is thrown away. */
int outlet_broken(struct outlet *o);
