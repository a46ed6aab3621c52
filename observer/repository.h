/* repository.h - one repository that is watched: notices moves, hands out their events, and moves
 * its cursor when they are acknowledged. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "observer/batch.h"
#include "observer/watch.h"

#include <event2/event.h>
#include <stdint.h>

struct repository;

struct repository_options {
	const char *name;         /* for people */
	const char *location;     /* what runners fetch from: an absolute path, or a URL */
	const char *mirror;       /* of a URL: the path of our copy; NULL for a path */
	const char *const *globs; /* of refs; NULL-terminated; borrowed */
	uint64_t poll_ms;
	bool build_head;
	int cursors; /* directory; borrowed */
};

struct repository_host {
	struct event_base *base;
	struct watch *watch;            /* NULL: there is none, poll alone */
	void (*wake)(void *context);    /* there are events to take */
	void (*settled)(void *context); /* it has been looked at for the first time */
	void *context;
};

/* Reads its cursor. -EPROTO: a newer version's, -EBADMSG: damaged; told with the remedy. */
int repository_new(const struct repository_options *options, const struct repository_host *host,
		   struct repository **out, struct error *err);
/* A cursor that is ahead of its file is written; events that wait are left for the next start. */
void repository_free(struct repository *r);
OWNED(repository)

/* The first look. At a path it takes place at once, and what is wrong is an error; a URL that can't
 * be had is a warning, it may be had later. */
int repository_start(struct repository *r, struct error *err);

/* Something may have changed. Cheap; the look comes a moment later. */
void repository_changed(struct repository *r);

/* The next event to send; false: there is none now. */
bool repository_next(struct repository *r, struct batch_event *out);
void repository_acked(struct repository *r, size_t move);

const char *repository_name(const struct repository *r);
const char *repository_location(const struct repository *r);
bool repository_is_settled(const struct repository *r);
