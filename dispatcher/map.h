/* map.h - numbers to things: open addressing, grows, shrinks never. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* `= {0}` is empty. */
struct map {
	struct map_slot {
		uint64_t key;
		void *value; /* NULL: free */
	} * slots;
	size_t count, size;
};

int map_put(struct map *m, uint64_t key, void *value); /* -ENOMEM; replaces */
void *map_get(const struct map *m, uint64_t key);      /* NULL: none */
void *map_take(struct map *m, uint64_t key);           /* and removes it */
/* All values in any order: start with *at = 0; NULL at the end. The map must stay as it is. */
void *map_next(const struct map *m, size_t *at);
void map_done(struct map *m);

/* One key for an attempt. Two epochs of one job that differ by 65,536 are never alive together. */
static inline uint64_t attempt_key(uint64_t job, uint32_t epoch)
{
	return job << 16 ^ (epoch & 0xffff);
}
