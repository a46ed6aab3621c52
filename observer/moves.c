#include "observer/moves.h"

#include "base/owned.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void moves_done(struct moves *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->items[i].ref);
	free(m->items);
	*m = (struct moves){0};
}

static int rank(const struct move *m, const char *head)
{
	if (oid_is_none(&m->to))
		return 3;
	if (head && strcmp(m->ref, head) == 0)
		return 0;
	return strncmp(m->ref, "refs/heads/", 11) == 0 ? 1 : 2;
}

static int compare(const void *one, const void *other, void *head)
{
	const struct move *a = one, *b = other;
	int difference = rank(a, head) - rank(b, head);

	return difference ? difference : strcmp(a->ref, b->ref);
}

static int add(struct moves *m, const struct ref *from, const struct ref *to)
{
	struct move *move = &m->items[m->count];
	const struct ref *either = to ? to : from;

	assert(either);
	if (from && to && oid_equal(&from->id, &to->id))
		return 0;
	*move = (struct move){.ref = strdup(either->name)};
	if (!move->ref)
		return -ENOMEM;
	if (from)
		move->from = from->id;
	if (to)
		move->to = to->id;
	m->count++;
	return 0;
}

/* Both lists are sorted: one pass over the two. */
static int merge(struct moves *m, const struct refs *before, const struct refs *now)
{
	size_t b = 0, n = 0;
	int rc = 0;

	while (rc == 0 && (b < before->count || n < now->count)) {
		const struct ref *from = b < before->count ? &before->items[b] : NULL;
		const struct ref *to = n < now->count ? &now->items[n] : NULL;
		int order = !from ? 1 : !to ? -1 : strcmp(from->name, to->name);

		rc = add(m, order <= 0 ? from : NULL, order >= 0 ? to : NULL);
		b += order <= 0;
		n += order >= 0;
	}
	return rc;
}

int moves_find(const struct refs *before, const struct refs *now, const char *head,
	       struct moves *out)
{
	owned_moves m = {.items = calloc(before->count + now->count + 1, sizeof(*m.items))};
	owned_str *first = head ? strdup(head) : NULL;
	int rc;

	if (!m.items || (head && !first))
		return -ENOMEM;
	rc = merge(&m, before, now);
	if (rc < 0)
		return rc;
	qsort_r(m.items, m.count, sizeof(*m.items), compare, first);
	*out = m;
	m = (struct moves){0};
	return 0;
}
