/* refs.h - branches and tags with what each points at, sorted by name. Pure. */
#pragma once

#include "observer/oid.h"

#include <stddef.h>

/* A repository that has more isn't watched: 200,000 names are some 20 MB in memory and cursor. */
#define REFS_MAX 200000

struct ref {
	char *name;    /* full: refs/heads/main */
	struct oid id; /* as it stands in the ref: an annotated tag's own id */
};

/* `= {0}` is an empty one. Read it; change it by the functions below. */
struct refs {
	struct ref *items;
	size_t count, size;
};

void refs_done(struct refs *r);
#define owned_refs __attribute__((cleanup(refs_done))) struct refs

/* Puts one at the end, in any order; refs_sort() must follow. `name` is copied. -ENOMEM, -E2BIG. */
int refs_add(struct refs *r, const char *name, size_t length, const struct oid *id);
/* -EEXIST when a name is there twice. */
int refs_sort(struct refs *r);

/* NULL: no such ref. */
const struct ref *refs_find(const struct refs *r, const char *name);

/* Keeps the order. -ENOMEM, -E2BIG. */
int refs_set(struct refs *r, const char *name, const struct oid *id);
void refs_remove(struct refs *r, const char *name);
