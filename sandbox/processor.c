#include "sandbox/processor.h"

#include <errno.h>
#include <string.h>

void processors_get(struct processors *out)
{
	out->known = sched_getaffinity(0, sizeof(out->set), &out->set) == 0;
}

void processor_stay(const struct processors *all)
{
	int here = all->known ? sched_getcpu() : -1;
	int code = errno;
	cpu_set_t one;

	if (here < 0 || here >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	(void)sched_setaffinity(0, sizeof(one), &one); /* else it is merely slower */
	errno = code;
}

void processors_use(const struct processors *p)
{
	int code = errno;
	cpu_set_t all;

	if (!p->known || sched_setaffinity(0, sizeof(p->set), &p->set) == 0)
		return;
	memset(&all, 0xff, sizeof(all)); /* its cpuset has none of these: all that that has */
	(void)sched_setaffinity(0, sizeof(all), &all);
	errno = code;
}
