#include "dispatcher/map.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct map *m, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (m->size - 1);
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
	size_t at = home(m, key);

	while (m->slots[at].value && m->slots[at].key != key)
		at = (at + 1) & (m->size - 1);
	return &m->slots[at];
}

static int grow(struct map *m)
{
	struct map larger = {.size = m->size ? m->size * 2 : 64};

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].value)
			*find(&larger, m->slots[i].key) = m->slots[i];
	larger.count = m->count;
	free(m->slots);
	*m = larger;
	return 0;
}

int map_put(struct map *m, uint64_t key, void *value)
{
	struct map_slot *slot;

	if (m->count * 4 >= m->size * 3 && grow(m) < 0)
		return -ENOMEM;
	slot = find(m, key);
	m->count += !slot->value;
	*slot = (struct map_slot){key, value};
	return 0;
}

void *map_get(const struct map *m, uint64_t key)
{
	return m->size ? find(m, key)->value : NULL;
}

/* Closes the hole: members behind it that would not be found any more move up. */
void *map_take(struct map *m, uint64_t key)
{
	struct map_slot *hole = m->size ? find(m, key) : NULL;
	void *value = hole ? hole->value : NULL;
	size_t at, next;

	if (!value)
		return NULL;
	at = (size_t)(hole - m->slots);
	for (next = (at + 1) & (m->size - 1); m->slots[next].value;
	     next = (next + 1) & (m->size - 1)) {
		size_t wanted = home(m, m->slots[next].key);

		if (((next - wanted) & (m->size - 1)) < ((next - at) & (m->size - 1)))
			continue; /* lies between its home and the hole's far side */
		m->slots[at] = m->slots[next];
		at = next;
	}
	m->slots[at].value = NULL;
	m->count--;
	return value;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->size)
		if (m->slots[(*at)++].value)
			return m->slots[*at - 1].value;
	return NULL;
}

void map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}
