#include "sandbox/processor.h"

void processors_get(struct processors *out)
{
	out->known = sched_getaffinity(0, sizeof(out->set), &out->set) == 0;
}

int processor_here(void)
{
	struct processors all;

	processors_get(&all); /* whom nobody could free again isn't bound */
	return all.known ? sched_getcpu() : -1;
}

void processor_stay(int processor)
{
	cpu_set_t one;

	if (processor < 0 || processor >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	(void)sched_setaffinity(0, sizeof(one), &one); /* it is merely slower */
}

void processors_use(const struct processors *p)
{
	/* Refused where a cpuset has none of these: then that counts, and stays. */
	if (p->known)
		(void)sched_setaffinity(0, sizeof(p->set), &p->set);
}
