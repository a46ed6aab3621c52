/* launcher_talk.h - what the caller knows of his launcher, and how he speaks with it. For the files
 * launcher*.c alone. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/graves.h"
#include "sandbox/ids.h"
#include "sandbox/resident.h"
#include "sandbox/template.h"

/* How long the launcher may take: after that the box is frozen, or worse. */
#define ANSWER_MS 30000

/* A job's first process that was asked for. */
struct first {
	struct first *next;
	uint32_t id;
	int control, pidfd; /* owned until they are handed out */
	bool answered;
	bool forgotten; /* its job is over already */
	int code;       /* why it wasn't born */
	char text[480];
	/* Of those that wait: */
	struct cgroup *cg;
	struct ids ids;
	enum sandbox_profile profile;
	unsigned deny;
	struct template_stamp stamp;
	struct sandbox_limits limits; /* that its groups hold already */
};

struct sandbox_launcher {
	pid_t owner; /* a fork of it shares the socket, and must not use it */
	uid_t user;
	pid_t pid;
	int socket, pidfd;
	struct ids ids;
	uint32_t last_id;
	struct first *births; /* asked for, and not handed out */
	unsigned running;     /* jobs by it that are not over */
	bool untidy;          /* the end of one was put off */
	unsigned ready_wanted;
	int64_t refill_at; /* clock_boot_ms(): while jobs run, the next is made ready then */
	/* What the last job was like: so are those that are made ahead. */
	bool has_model;
	enum sandbox_profile profile;
	unsigned deny; /* FILTER_* */
	struct ids model_ids;
	struct sandbox_limits model;
	uint64_t private_bytes, private_inodes;
	char *parent;
	struct cgroup *spare; /* groups for one job, where none is kept ready with its own */
	struct sandbox_limits spare_limits;
	struct graves graves;
};

struct first *first_new(struct sandbox_launcher *l);
struct first *first_find(struct sandbox_launcher *l, uint32_t id);
void first_add(struct sandbox_launcher *l, struct first *b); /* as the youngest */
struct first *first_take(struct sandbox_launcher *l, struct first *b);

/* One that waits, or will never be waited for: it has no job to lose. */
void first_free(struct sandbox_launcher *l, struct first *b);

/* `fds` stay the caller's. -ECHILD: the launcher died. */
int talk_ask(struct sandbox_launcher *l, const struct resident_ask *q, const int *fds, size_t count,
	     struct error *err);

/* One answer, until `until` (clock_boot_ms()), with its descriptor or -1; -errno. For whose
 * descriptor there was no room here, that says so. */
int talk_hear(struct sandbox_launcher *l, int64_t until, struct resident_answer *out, int *fd,
	      struct error *err);

/* Of a birth: kept for whoever waits for it. */
void talk_note(struct sandbox_launcher *l, const struct resident_answer *a, int fd);

/* What has come: unread answers would fill the socket. */
void talk_hear_all(struct sandbox_launcher *l);

/* The answer to `id`; those that come before it are noted. */
int talk_await(struct sandbox_launcher *l, uint32_t id, struct resident_answer *out, int *fd,
	       struct error *err);
