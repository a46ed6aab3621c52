#include "base/clock.h"

#include <time.h>

static struct timespec now(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t); /* fails only for a clock that the kernel lacks */
	return t;
}

int64_t clock_boot_us(void)
{
	struct timespec t = now(CLOCK_BOOTTIME);

	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_boot_ms(void)
{
	return clock_boot_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	struct timespec t = now(CLOCK_REALTIME);

	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
