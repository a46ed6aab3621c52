#include "count.h"

#include <assert.h>
#include <stdio.h>

int main(void)
{
	struct list list = {0};

	assert(words("") == 0);
	assert(words(" two  words ") == 2);
	for (size_t i = 1; i <= 100; i++)
		assert(list_push(&list, i) == 0);
	assert(sum(&list) == 5050);
	list_done(&list);
	(void)puts("all hold");
	return 0;
}
