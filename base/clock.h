/* clock.h - two clocks: one for durations, one for people. Never mix them. */
#pragma once

#include <stdint.h>

/* Milliseconds that only grow, counting while the box is suspended (CLOCK_BOOTTIME,
 * clock_gettime(2)). */
int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);

/* Milliseconds since 1970, for records and display only: it may jump. */
int64_t clock_wall_ms(void);
