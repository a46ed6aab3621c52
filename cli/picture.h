/* picture.h - a run as people look at it. Pure: a message in, text out. */
#pragma once

#include "base/buffer.h"
#include "proto/cupel.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How it is to be drawn. */
struct picture {
	size_t width; /* columns; 0: nothing is cut */
	bool colour;
	int64_t now_ms;
};

/* All of it: the run, its jobs, each attempt with what it used of its limits. */
int picture_run(const struct picture *p, const Cupel__Run *run, struct buffer *out);

/* One line: "run 4 killed sample main 9ae1c04 a suite that eats memory 1.43s", and the reason on a
 * second one unless it passed. */
int picture_verdict(const struct picture *p, const Cupel__Run *run, struct buffer *out);

/* What a live run is doing, on one line. */
int picture_progress(const struct picture *p, const Cupel__Run *run, struct buffer *out);

/* The newest runs. */
int picture_runs(const struct picture *p, const Cupel__Runs *runs, struct buffer *out);
