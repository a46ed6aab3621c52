#include "dispatcher/runners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	return h;
}

ProtobufCMessage *message_copy(const ProtobufCMessage *m)
{
	size_t length = protobuf_c_message_get_packed_size(m);
	uint8_t *packed = malloc(length + 1);
	ProtobufCMessage *copy = NULL;

	if (packed) {
		(void)protobuf_c_message_pack(m, packed); /* it is `length` long */
		copy = protobuf_c_message_unpack(m->descriptor, NULL, length, packed);
	}
	free(packed);
	return copy;
}

void runners_init(struct runners *r)
{
	*r = (struct runners){0};
	TAILQ_INIT(&r->all);
	TAILQ_INIT(&r->ready);
}

static void runner_free(struct runner *r)
{
	if (r->info)
		cupel__runner_info__free_unpacked(r->info, NULL);
	if (r->unused)
		cupel__capacity__free_unpacked(r->unused, NULL);
	free(r->pressure);
	free(r->software);
	free(r);
}

void runners_done(struct runners *r)
{
	while (!TAILQ_EMPTY(&r->all)) {
		struct runner *one = TAILQ_FIRST(&r->all);

		TAILQ_REMOVE(&r->all, one, entry);
		runner_free(one);
	}
	map_done(&r->by_name);
}

struct runner *runners_find(const struct runners *r, const char *name)
{
	struct runner *one = map_get(&r->by_name, hash_of(name));

	while (one && strcmp(one->name, name) != 0)
		one = one->same_hash;
	return one;
}

struct runner *runners_add(struct runners *r, const char *name)
{
	struct runner *one = calloc(1, sizeof(*one));
	uint64_t hash = hash_of(name);

	if (!one)
		return NULL;
	(void)snprintf(one->name, sizeof(one->name), "%s", name); /* names fit */
	TAILQ_INIT(&one->attempts);
	one->info = calloc(1, sizeof(*one->info));
	one->same_hash = map_get(&r->by_name, hash);
	if (!one->info || map_put(&r->by_name, hash, one) < 0) {
		free(one->info);
		free(one);
		return NULL;
	}
	cupel__runner_info__init(one->info);
	TAILQ_INSERT_TAIL(&r->all, one, entry);
	return one;
}

int runner_describe(struct runners *all, struct runner *r, const char *software,
		    const Cupel__RunnerInfo *info)
{
	Cupel__RunnerInfo bare = *info, *copy;
	char *text = strdup(software);

	bare.n_held = 0;
	copy = (Cupel__RunnerInfo *)message_copy(&bare.base);
	if (!text || !copy) {
		free(text);
		if (copy)
			cupel__runner_info__free_unpacked(copy, NULL);
		return -ENOMEM;
	}
	free(r->software);
	r->software = text;
	cupel__runner_info__free_unpacked(r->info, NULL);
	r->info = copy;
	all->generation++;
	return 0;
}

bool runner_has_slot(const struct runner *r)
{
	return r->info->capacity && r->jobs < r->info->capacity->slots;
}

/* Plans take no slot; a few more than slots hide their latency. */
bool runner_has_plan_slot(const struct runner *r)
{
	return r->info->capacity && r->plans < 2 * (uint64_t)r->info->capacity->slots + 2;
}

void runner_update(struct runners *all, struct runner *r)
{
	bool ready = r->session && !r->draining && !r->pressure &&
		     (runner_has_slot(r) || runner_has_plan_slot(r));

	if (ready == r->ready)
		return;
	r->ready = ready;
	if (ready)
		TAILQ_INSERT_TAIL(&all->ready, r, ready_entry);
	else
		TAILQ_REMOVE(&all->ready, r, ready_entry);
}
