#pragma once

#include <stddef.h>

struct list {
	size_t *values;
	size_t used, room;
};

int list_push(struct list *list, size_t value);
void list_done(struct list *list);
size_t sum(const struct list *list);
size_t words(const char *text);
