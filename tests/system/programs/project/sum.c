#include "count.h"

size_t sum(const struct list *list)
{
	size_t total = 0;

	for (size_t i = 0; i < list->used; i++)
		total += list->values[i];
	return total;
}
