#include "sandbox/graves.h"

#include <poll.h>
#include <stdlib.h>

/* How long one that was killed may take to become empty. */
#define BURIAL_MAX_MS 5000

void graves_add(struct graves *g, struct cgroup *cg)
{
	struct cgroup **list = g->list;

	if (!cg)
		return;
	if (g->count == g->size) {
		list = realloc(list, (g->size * 2 + 8) * sizeof(*list));
		if (!list) {
			cgroup_free(cg);
			return;
		}
		g->list = list;
		g->size = g->size * 2 + 8;
	}
	g->list[g->count++] = cg;
}

void graves_tend(struct graves *g)
{
	size_t left = 0;

	for (size_t i = 0; i < g->count; i++) {
		struct cgroup *cg = g->list[i];

		if (cgroup_vanish(cg) == 0) {
			cgroup_free(cg);
		} else {
			if (cgroup_populated(cg) != 0)
				cgroup_kill(cg);
			g->list[left++] = cg;
		}
	}
	g->count = left;
}

void graves_done(struct graves *g)
{
	for (int tries = 0; g->count && tries < BURIAL_MAX_MS; tries++) {
		graves_tend(g);
		if (g->count)
			(void)poll(NULL, 0, 1); /* v1 tells nobody when a group has become empty */
	}
	while (g->count)
		cgroup_free(g->list[--g->count]);
	free(g->list);
	*g = (struct graves){0};
}

void graves_forget(struct graves *g)
{
	while (g->count)
		cgroup_forget(g->list[--g->count]);
	free(g->list);
	*g = (struct graves){0};
}
