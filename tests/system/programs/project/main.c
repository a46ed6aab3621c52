#include "count.h"

#include <stdio.h>

int main(void)
{
	struct list list = {0};
	char line[1000];

	while (fgets(line, sizeof(line), stdin))
		if (list_push(&list, words(line)) < 0)
			return 1;
	printf("%zu\n", sum(&list));
	list_done(&list);
	return 0;
}
