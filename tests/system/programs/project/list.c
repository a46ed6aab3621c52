#include "count.h"

#include <stdlib.h>

int list_push(struct list *list, size_t value)
{
	if (list->used == list->room) {
		size_t room = list->room ? 2 * list->room : 4;
		size_t *values = realloc(list->values, room * sizeof(*values));

		if (!values)
			return -1;
		list->values = values;
		list->room = room;
	}
	list->values[list->used++] = value;
	return 0;
}

void list_done(struct list *list)
{
	free(list->values);
}
