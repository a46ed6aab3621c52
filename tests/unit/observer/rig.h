/* rig.h - for tests: real repositories in a scratch directory, a dispatcher that is played by the
 * test, and the observer between them, all in one process and one loop. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/tree.h"
#include "observer/observer.h"
#include "observer/oid.h"
#include "proto/link.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS_MAX  4096
#define PATIENCE_MS 60000 /* for valgrind on a busy box; nothing waits this long when it works */

struct told {
	char commit[OID_HEX + 1], ref[200], repository[300], name[100], subject[100], author[100];
	uint64_t sequence;
};

struct rig {
	char dir[64];
	struct event_base *base;
	struct options options;
	struct observer *observer;
	bool ready, refused;

	struct link_listener *listener;
	struct link *link; /* the observer's connection, NULL: none */
	bool silent;       /* events are taken and not acknowledged */
	int refusals;      /* so many events are answered by an error */
	int refuse_hello;  /* errno */
	struct told *told; /* all events, also repeated ones */
	size_t count, hellos;
	size_t most; /* events on their way at once */
	size_t open;
};

/* --- git
 * ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static inline void sh(const struct rig *r, const char *format,
							    ...)
{
	char script[4096], line[5000];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	(void)snprintf(line, sizeof(line), "set -e; cd %s; { %s\n} >>git.log 2>&1", r->dir, script);
	if (system(line) != 0)
		fail_msg("%s", line);
}

__attribute__((format(printf, 3, 4))) static inline void git_says(const struct rig *r, char *out,
								  const char *format, ...)
{
	char script[1000], line[1200];
	va_list args;
	FILE *pipe;

	va_start(args, format);
	(void)vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	(void)snprintf(line, sizeof(line), "cd %s; git %s", r->dir, script);
	pipe = popen(line, "re");
	assert_non_null(pipe);
	if (!fgets(out, OID_HEX + 2, pipe))
		fail_msg("%s", line);
	pclose(pipe);
	out[strcspn(out, "\n")] = '\0';
}

/* A commit on the current branch of `work`, on a tree of nothing: its id. */
static inline void commit(const struct rig *r, const char *subject, char out[OID_HEX + 2])
{
	sh(r, "git -C work commit -q --allow-empty -m '%s'", subject);
	git_says(r, out, "-C work rev-parse HEAD");
}

static inline void push(const struct rig *r, const char *what)
{
	sh(r, "git -C work push -q --force ../app.git %s", what);
}

/* --- the dispatcher
 * ------------------------------------------------------------------------------- */

static inline void ack(struct rig *r, uint64_t sequence)
{
	Cupel__EventAck m = CUPEL__EVENT_ACK__INIT;

	m.sequence = sequence;
	m.run = sequence;
	r->open--;
	assert_int_equal(link_send(r->link, FRAME_EVENT_ACK, &m.base), 0);
}

static inline void on_event(struct rig *r, const Cupel__Event *e)
{
	struct told *t = &r->told[r->count];

	assert_true(r->count < EVENTS_MAX);
	r->count++;
	(void)snprintf(t->commit, sizeof(t->commit), "%s", e->commit);
	(void)snprintf(t->ref, sizeof(t->ref), "%s", e->ref);
	(void)snprintf(t->repository, sizeof(t->repository), "%s", e->repository);
	(void)snprintf(t->name, sizeof(t->name), "%s", e->name);
	(void)snprintf(t->subject, sizeof(t->subject), "%s", e->subject);
	(void)snprintf(t->author, sizeof(t->author), "%s", e->author);
	t->sequence = e->sequence;
	r->open++;
	r->most = r->open > r->most ? r->open : r->most;
	if (r->refusals) {
		r->refusals--;
		r->open--;
		(void)link_send_error(r->link, ENOSPC, "the disk is full");
	} else if (!r->silent) {
		ack(r, e->sequence);
	}
}

static inline void on_frame(void *context, struct link *link, const struct frame *frame)
{
	struct rig *r = context;
	Cupel__Welcome welcome = CUPEL__WELCOME__INIT;
	ProtobufCMessage *m = NULL;
	struct error err = {0};

	if (message_unpack(frame, &m, &err) < 0)
		fail_msg("%s", err.text);
	if (frame->type == FRAME_EVENT) {
		on_event(r, (const Cupel__Event *)m);
	} else if (frame->type == FRAME_HELLO && r->refuse_hello) {
		(void)link_send_error(link, r->refuse_hello, "not you");
		link_finish(link);
	} else if (frame->type == FRAME_HELLO) {
		assert_int_equal(((const Cupel__Hello *)m)->role, CUPEL__ROLE__ROLE_OBSERVER);
		r->hellos++;
		welcome.protocol = 1;
		(void)link_send(link, FRAME_WELCOME, &welcome.base);
	}
	message_free(m);
}

static inline void on_closed(void *context, struct link *link, const char *reason)
{
	struct rig *r = context;

	(void)reason;
	if (r->link == link)
		r->link = NULL;
	link_free(link);
}

static inline bool on_accept(void *context, struct link *link)
{
	static const struct link_callbacks callbacks = {.frame = on_frame, .closed = on_closed};
	struct rig *r = context;

	r->link = link;
	r->open = 0;
	link_set_callbacks(link, &callbacks, r);
	return true;
}

static inline void dispatcher_start(struct rig *r)
{
	const struct link_listen how = {.accept = on_accept, .context = r};
	struct link_address address;
	struct error err = {0};

	assert_int_equal(link_address_parse(r->options.dispatcher, &address, &err), 0);
	if (link_listen(r->base, &address, 0600, &how, &r->listener, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void dispatcher_stop(struct rig *r)
{
	link_listener_free(r->listener);
	r->listener = NULL;
	if (r->link)
		link_free(r->link);
	r->link = NULL;
}

/* --- waiting
 * -------------------------------------------------------------------------------------- */

/* Turns the loop until `holds`, which must come true. */
#define wait_for(r, holds)                                                                         \
	do {                                                                                       \
		int64_t end_ = clock_boot_ms() + PATIENCE_MS;                                      \
		while (!(holds)) {                                                                 \
			if (clock_boot_ms() > end_)                                                \
				fail_msg("waited in vain for %s (%zu events)", #holds,             \
					 (r)->count);                                              \
			turn(r);                                                                   \
		}                                                                                  \
	} while (0)

static inline void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Until something happens, but no longer than a moment. */
static inline void turn(struct rig *r)
{
	struct timeval moment = {.tv_usec = 20000};

	event_base_once(r->base, -1, EV_TIMEOUT, on_tick, NULL, &moment);
	event_base_loop(r->base, EVLOOP_ONCE);
}

static inline void wait_events(struct rig *r, size_t count)
{
	wait_for(r, r->count >= count);
}

static inline void repository_is(struct rig *r, const char *path)
{
	char full[200];
	struct error err = {0};

	(void)snprintf(full, sizeof(full), "%s/%s", r->dir, path);
	assert_int_equal(options_add_repository(&r->options, full, &err), 0);
}

/* --- the observer
 * --------------------------------------------------------------------------------- */

static inline void is_ready(void *context)
{
	((struct rig *)context)->ready = true;
}

static inline void is_refused(void *context, const char *reason)
{
	(void)reason;
	((struct rig *)context)->refused = true;
}

static inline int observer_try(struct rig *r, struct error *err)
{
	const struct observer_hooks hooks = {is_ready, is_refused, r, 200};

	r->ready = false;
	return observer_new(r->base, &r->options, &hooks, &r->observer, err);
}

static inline void observer_up(struct rig *r)
{
	struct error err = {0};

	if (observer_try(r, &err) < 0)
		fail_msg("%s", err.text);
	wait_for(r, r->ready);
}

static inline void observer_down(struct rig *r)
{
	observer_free(r->observer);
	r->observer = NULL;
}

/* The observer must not start with `place` alone, and say why in a sentence. */
static inline void refused_for(struct rig *r, const char *place, const char *cause,
			       const char *remedy)
{
	struct error err = {0};
	char state[100], dispatcher[100];

	(void)snprintf(state, sizeof(state), "%s", r->options.state);
	(void)snprintf(dispatcher, sizeof(dispatcher), "%s", r->options.dispatcher);
	options_done(&r->options);
	r->options.state = strdup(state);
	r->options.dispatcher = strdup(dispatcher);
	r->options.poll_ms = POLL_MS_DEFAULT;
	if (strchr(place, ':'))
		assert_int_equal(options_add_repository(&r->options, place, &err), 0);
	else
		repository_is(r, place);
	assert_true(observer_try(r, &err) < 0);
	if (!strstr(err.text, cause) || !strstr(err.text, remedy))
		fail_msg("%s", err.text);
	assert_null(strchr(err.text, '\n'));
}

/* What the file of the only cursor holds. */
static inline void cursor_text(const struct rig *r, char *out, size_t size)
{
	char line[200];
	FILE *pipe;
	size_t n;

	(void)snprintf(line, sizeof(line), "cat %s/state/cursors/app_git.* 2>/dev/null", r->dir);
	pipe = popen(line, "re");
	assert_non_null(pipe);
	n = fread(out, 1, size - 1, pipe);
	out[n] = '\0';
	pclose(pipe);
}

static inline bool cursor_holds(const struct rig *r, const char *text)
{
	static char all[1 << 20];

	cursor_text(r, all, sizeof(all));
	return strstr(all, text);
}

static inline bool was_told(const struct rig *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->told[i].commit, id) == 0)
			return true;
	return false;
}

/* Everything that was pushed before this is known: a commit of its own goes through. */
static inline void flush(struct rig *r)
{
	char id[OID_HEX + 2];

	sh(r,
	   "git -C work checkout -q --orphan flush-%zu && git -C work commit -q --allow-empty -m flush-%zu",
	   r->count, r->count);
	git_says(r, id, "-C work rev-parse HEAD");
	push(r, "HEAD");
	sh(r, "git -C work checkout -q main");
	wait_for(r, was_told(r, id));
	r->count--; /* the flush itself isn't of interest */
	wait_for(r, cursor_holds(r, id));
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static inline int rig_bare(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	char text[100];

	r->told = calloc(EVENTS_MAX, sizeof(*r->told));
	(void)snprintf(r->dir, sizeof(r->dir), "%s/cupel-observer-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(r->dir))
		return -1;
	(void)signal(SIGPIPE, SIG_IGN);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	setenv("GIT_AUTHOR_NAME", "An Author", 1);
	setenv("GIT_AUTHOR_EMAIL", "author@example.org", 1);
	setenv("GIT_COMMITTER_NAME", "A Committer", 1);
	setenv("GIT_COMMITTER_EMAIL", "committer@example.org", 1);
	setenv("LC_ALL", "C", 1);
	r->base = event_base_new();
	(void)snprintf(text, sizeof(text), "%s/state", r->dir);
	r->options.state = strdup(text);
	(void)snprintf(text, sizeof(text), "unix:%s/socket", r->dir);
	r->options.dispatcher = strdup(text);
	r->options.poll_ms = 3600 * 1000; /* what is found is found by inotify */
	*state = r;
	return 0;
}

/* app.git with one commit on main, and `work` that pushes to it. */
static inline int rig_setup(void **state)
{
	struct rig *r;

	if (rig_bare(state) < 0)
		return -1;
	r = *state;
	sh(r, "git init -q --bare -b main app.git; git init -q -b main work");
	sh(r, "git -C work commit -q --allow-empty -m base; git -C work push -q ../app.git main");
	repository_is(r, "app.git");
	dispatcher_start(r);
	return 0;
}

static inline void rig_remove(const struct rig *r)
{
	const char *slash = strrchr(r->dir, '/');
	char above[64];
	owned_fd dir = -1;
	struct error err = {0};

	(void)snprintf(above, sizeof(above), "%.*s", (int)(slash - r->dir), r->dir);
	dir = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_remove(dir, slash + 1, &err) < 0)
		print_message("%s is left: %s\n", r->dir, err.text);
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	observer_free(r->observer);
	dispatcher_stop(r);
	event_base_free(r->base);
	options_done(&r->options);
	rig_remove(r);
	free(r->told);
	free(r);
	return 0;
}

#define RIG_TEST(name)  cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define BARE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_bare, rig_teardown)
