#include "observer/refs.h"

#include "base/owned.h"

#include <errno.h>
#include <string.h>

void refs_done(struct refs *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->items[i].name);
	free(r->items);
	*r = (struct refs){0};
}

static int grow(struct refs *r)
{
	size_t size = r->size ? r->size * 2 : 16;
	struct ref *items;

	if (r->count >= REFS_MAX)
		return -E2BIG;
	if (r->count < r->size)
		return 0;
	items = reallocarray(r->items, size, sizeof(*items));
	if (!items)
		return -ENOMEM;
	r->items = items;
	r->size = size;
	return 0;
}

int refs_add(struct refs *r, const char *name, size_t length, const struct oid *id)
{
	int rc = grow(r);
	char *copy;

	if (rc < 0)
		return rc;
	copy = strndup(name, length);
	if (!copy)
		return -ENOMEM;
	r->items[r->count++] = (struct ref){copy, *id};
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct ref *)a)->name, ((const struct ref *)b)->name);
}

int refs_sort(struct refs *r)
{
	if (r->count)
		qsort(r->items, r->count, sizeof(*r->items), compare);
	for (size_t i = 1; i < r->count; i++)
		if (compare(&r->items[i - 1], &r->items[i]) == 0)
			return -EEXIST;
	return 0;
}

/* Where `name` stands, or would stand. */
static size_t place(const struct refs *r, const char *name)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(r->items[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct refs *r, size_t at, const char *name)
{
	return at < r->count && strcmp(r->items[at].name, name) == 0;
}

const struct ref *refs_find(const struct refs *r, const char *name)
{
	size_t at = place(r, name);

	return is_at(r, at, name) ? &r->items[at] : NULL;
}

int refs_set(struct refs *r, const char *name, const struct oid *id)
{
	size_t at = place(r, name);
	char *copy;
	int rc;

	if (is_at(r, at, name)) {
		r->items[at].id = *id;
		return 0;
	}
	rc = grow(r);
	if (rc < 0)
		return rc;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	memmove(&r->items[at + 1], &r->items[at], (r->count - at) * sizeof(*r->items));
	r->items[at] = (struct ref){copy, *id};
	r->count++;
	return 0;
}

void refs_remove(struct refs *r, const char *name)
{
	size_t at = place(r, name);

	if (!is_at(r, at, name))
		return;
	free(r->items[at].name);
	r->count--;
	memmove(&r->items[at], &r->items[at + 1], (r->count - at) * sizeof(*r->items));
}
