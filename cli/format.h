/* format.h - numbers and names as people read them, beside what base/units.h has. Pure. */
#pragma once

#include "base/buffer.h"
#include "proto/cupel.pb-c.h"

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SHORT 32 /* bytes: room for any of the short forms */

/* How long ago, roughly: "now", "12s", "3m", "5h", "2d", "6w", "3y". Clocks may differ: the future
 * is "now". */
void format_age(int64_t now_ms, uint64_t then_ms, char out[FORMAT_SHORT]);

/* "1", "1.5", "0.25": thousandths. */
void format_milli(uint64_t milli, char out[FORMAT_SHORT]);

/* The first seven digits of a commit; "" stays "". */
void format_commit(const char *commit, char out[FORMAT_SHORT]);

/* "main" of refs/heads/main, "v1" of refs/tags/v1; what is neither, whole. Borrowed from `ref`. */
const char *format_ref(const char *ref);

/* How long a run took, or has been there by now, its waits included. */
uint64_t format_run_ms(const Cupel__Run *run, int64_t now_ms);
/* How long its attempts took, up to now; of one that ended without any, all of its time. */
uint64_t format_took_ms(const Cupel__Run *run);

/* A run's ref, or the revision that was asked for, or "-". Borrowed. */
const char *format_run_ref(const Cupel__Run *run);

/* "passed", "passed (flaky)"; of a live run or job its state. */
const char *format_run_word(const Cupel__Run *run);
const char *format_job_word(const Cupel__Job *job);

/* The exit status that tells a verdict to scripts: 0 passed, 1 failed, 2 errored, 3 timed_out, 4
 * killed, 5 cancelled or superseded. */
int format_exit_status(Cupel__Verdict verdict);
