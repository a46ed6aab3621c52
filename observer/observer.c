#include "observer/observer.h"

#include "base/fd.h"
#include "base/log.h"
#include "observer/cursor_file.h"
#include "observer/git.h"
#include "observer/remote.h"
#include "observer/repository.h"
#include "observer/sender.h"
#include "observer/watch.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A remote that doesn't answer delays the word `ready` no longer than this. */
#define READY_MS 10000
#define SOFTWARE "cupel-observer " CUPEL_VERSION

struct observer {
	struct event_base *base; /* borrowed */
	struct observer_hooks hooks;
	const struct options *options; /* borrowed */
	char name[MESSAGE_NAME_MAX + 1];
	int lock, cursors; /* descriptors */
	bool git_started;
	struct link_token token;
	struct watch *watch; /* NULL: there is none */
	struct sender *sender;
	struct repository **repositories;
	char **common; /* of each: what it is, under whatever name; an URL, or the repository's
			  directory */
	size_t count;
	size_t turn; /* whose event goes next */
	struct event *ready;
	bool is_ready;
};

/* --- what the parts tell ------------------------------------------------ */

static void on_changed(void *context, void *owner)
{
	(void)context;
	repository_changed(owner);
}

static void on_overflow(void *context)
{
	struct observer *o = context;

	log_warning("the queue of inotify ran over, all repositories are read again; raise "
		    "fs.inotify.max_queued_events (sysctl) if this happens often");
	for (size_t i = 0; i < o->count; i++)
		repository_changed(o->repositories[i]);
}

static bool on_next(void *context, struct sender_event *out)
{
	static char hex[OID_HEX + 1];
	static struct batch_event e; /* lent until the next call */
	struct observer *o = context;

	for (size_t i = 0; i < o->count; i++) {
		struct repository *r = o->repositories[o->turn++ % o->count];

		if (!repository_next(r, &e))
			continue;
		oid_format(&e.commit, hex);
		out->event.repository = (char *)(uintptr_t)repository_location(r);
		out->event.name = (char *)(uintptr_t)repository_name(r);
		out->event.ref = (char *)(uintptr_t)e.ref;
		out->event.commit = hex;
		out->event.subject = e.text.subject;
		out->event.author = e.text.author;
		out->owner = r;
		out->mark = e.move;
		return true;
	}
	return false;
}

static void on_acked(void *context, void *owner, size_t mark)
{
	(void)context;
	repository_acked(owner, mark);
}

static void on_refused(void *context, const char *reason)
{
	struct observer *o = context;

	o->hooks.refused(o->hooks.context, reason);
}

static void on_wake(void *context)
{
	struct observer *o = context;

	if (o->sender)
		sender_wake(o->sender);
}

static void tell_ready(struct observer *o)
{
	if (o->is_ready)
		return;
	o->is_ready = true;
	if (o->hooks.ready)
		o->hooks.ready(o->hooks.context);
}

static void on_ready_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_ready(arg);
}

static void on_settled(void *context)
{
	struct observer *o = context;

	for (size_t i = 0; i < o->count; i++)
		if (!repository_is_settled(o->repositories[i]))
			return;
	if (o->ready) /* else they are being started still */
		event_active(o->ready, 0, 0);
}

/* --- the state directory ------------------------------------------------ */

static int take_state(struct observer *o, struct error *err)
{
	const char *path = o->options->state;
	char below[PATH_MAX];
	owned_fd state = fd_make_path(path, 0700, err);
	int rc;

	if (state < 0)
		return error_prefix(err, "state directory %s", path);
	o->lock = fd_lock(state, "lock");
	if (o->lock == -EWOULDBLOCK)
		return error_say(
			err, EBUSY,
			"state directory %s is in use by another cupel-observer: stop it, or give "
			"this one another --state",
			path);
	if (o->lock < 0)
		return error_set(err, -o->lock, "state directory %s: lock", path);
	if (snprintf(below, sizeof(below), "%s/mirrors", path) >= (int)sizeof(below))
		return error_set(err, ENAMETOOLONG, "state directory %s", path);
	rc = fd_make_path(below, 0700, err);
	if (rc < 0)
		return rc;
	close(rc);
	(void)snprintf(below, sizeof(below), "%s/cursors", path); /* as long as the one above */
	o->cursors = fd_make_path(below, 0700, err);
	return o->cursors < 0 ? o->cursors : 0;
}

/* --- repositories ------------------------------------------------------- */

/* "/srv/git/app.git/" is "app". */
static void default_name(const char *place, char *out, size_t size)
{
	size_t length = strlen(place), start;

	while (length > 1 && place[length - 1] == '/')
		length--;
	if (length > 5 && strncmp(place + length - 5, "/.git", 5) == 0)
		length -= 5;
	else if (length > 4 && strncmp(place + length - 4, ".git", 4) == 0)
		length -= 4;
	for (start = length; start > 0 && !strchr("/:", place[start - 1]); start--)
		;
	(void)snprintf(out, size, "%.*s", (int)(length - start), place + start);
	if (!*out)
		(void)snprintf(out, size, "repository");
}

/* A path as runners can use it, wherever they were started, and what identifies the repository. */
static int resolve_path(const char *place, char location[PATH_MAX], char **common,
			struct error *err)
{
	owned(gitdir) *git = NULL;
	int rc;

	if (!realpath(place, location)) {
		if (errno != ELOOP)
			return error_set(err, errno, "open repository %s", place);
		return error_say(
			err, ELOOP,
			"repository %s: its path is a loop of symbolic links: give the path of the "
			"repository itself",
			place);
	}
	rc = gitdir_open(location, NULL, &git, err);
	if (rc < 0)
		return rc;
	*common = realpath(gitdir_common(git), NULL);
	return *common ? 0 : error_set(err, errno, "open repository %s", place);
}

static int resolve_url(struct observer *o, const char *place, char location[PATH_MAX],
		       char **common, char mirror[PATH_MAX], struct error *err)
{
	char name[100];
	int rc = remote_check_url(place, err);

	if (rc < 0)
		return rc;
	(void)snprintf(location, PATH_MAX, "%s", place); /* checked to be shorter */
	rc = cursor_file_name(place, name, sizeof(name));
	if (rc < 0 ||
	    snprintf(mirror, PATH_MAX, "%s/mirrors/%s.git", o->options->state, name) >= PATH_MAX)
		return error_set(err, rc < 0 ? ENOMEM : ENAMETOOLONG, "repository %.200s", place);
	*common = strdup(place);
	return *common ? 0 : error_set(err, ENOMEM, "repository %.200s", place);
}

static int check_twin(const struct observer *o, const char *place, const char *common,
		      struct error *err)
{
	for (size_t i = 0; i < o->count; i++) {
		assert(o->common[i]); /* counted when it was given */
		if (strcmp(o->common[i], common) == 0)
			return error_say(
				err, EEXIST,
				"repository %.150s is given twice: it is the same as %.150s: name it "
				"once",
				place, repository_location(o->repositories[i]));
	}
	return 0;
}

static int add_repository(struct observer *o, const struct watched *w, struct error *err)
{
	static const char *const usual[] = {"refs/heads/*", "refs/tags/*", NULL};
	char location[PATH_MAX] = "", mirror[PATH_MAX] = "", name[MESSAGE_NAME_MAX + 1];
	const struct repository_host host = {o->base, o->watch, on_wake, on_settled, o};
	owned_str *common = NULL;
	int rc = remote_is_url(w->place) ? resolve_url(o, w->place, location, &common, mirror, err)
					 : resolve_path(w->place, location, &common, err);

	if (rc < 0)
		return rc;
	assert(common); /* resolved */
	rc = check_twin(o, w->place, common, err);
	if (rc < 0)
		return rc;
	default_name(location, name, sizeof(name));
	const struct repository_options options = {
		.name = w->name ? w->name : name,
		.location = location,
		.mirror = *mirror ? mirror : NULL,
		.globs = w->refs ? (const char *const *)w->refs : usual,
		.poll_ms = w->poll_ms ? w->poll_ms : o->options->poll_ms,
		.build_head = o->options->build_head,
		.cursors = o->cursors};
	rc = repository_new(&options, &host, &o->repositories[o->count], err);
	if (rc == 0)
		o->common[o->count++] = give(common);
	return rc;
}

static int add_repositories(struct observer *o, struct error *err)
{
	const struct options *options = o->options;
	int rc = 0;

	o->repositories = calloc(options->count + 1, sizeof(struct repository *));
	o->common = calloc(options->count + 1, sizeof(char *));
	if (!o->repositories || !o->common)
		return error_set(err, ENOMEM, "start");
	for (size_t i = 0; rc == 0 && i < options->count; i++)
		rc = add_repository(o, &options->repositories[i], err);
	for (size_t i = 0; rc == 0 && i < o->count; i++)
		rc = repository_start(o->repositories[i], err);
	return rc;
}

/* --- the dispatcher ----------------------------------------------------- */

static int connect_dispatcher(struct observer *o, struct error *err)
{
	static const struct sender_callbacks callbacks = {on_next, on_acked, on_refused};
	const struct options *options = o->options;
	struct sender_options s = {.dial = {.role = CUPEL__ROLE__ROLE_OBSERVER,
					    .software = SOFTWARE,
					    .retry_max_ms = o->hooks.retry_max_ms}};
	char host[HOST_NAME_MAX + 1] = "observer";
	int rc;

	if (options->token) {
		rc = link_token_read(options->token, &o->token, err);
		s.dial.token = &o->token;
		s.dial.address = o->token.address;
	} else {
		rc = link_address_parse(options->dispatcher, &s.dial.address, err);
	}
	if (rc < 0)
		return rc;
	(void)gethostname(host, sizeof(host) - 1); /* any name will do */
	(void)snprintf(o->name, sizeof(o->name), "%s",
		       options->name    ? options->name
		       : options->token ? o->token.name
					: host);
	s.dial.name = o->name;
	return sender_new(o->base, &s, &callbacks, o, &o->sender, err);
}

/* --- life --------------------------------------------------------------- */

static void start_watch(struct observer *o)
{
	static const struct watch_callbacks callbacks = {on_changed, on_overflow};
	struct error err = {0};

	if (watch_new(o->base, &callbacks, o, &o->watch, &err) < 0)
		log_warning("%s; until then repositories are only polled", err.text);
}

static int start(struct observer *o, struct error *err)
{
	struct timeval most = {.tv_sec = READY_MS / 1000};
	int rc = take_state(o, err);

	if (rc == 0)
		rc = gitdir_start(err);
	if (rc < 0)
		return rc;
	o->git_started = true;
	start_watch(o);
	rc = add_repositories(o, err);
	if (rc == 0)
		rc = connect_dispatcher(o, err);
	if (rc < 0)
		return rc;
	o->ready = evtimer_new(o->base, on_ready_timer, o);
	if (!o->ready || evtimer_add(o->ready, &most) < 0)
		return error_set(err, ENOMEM, "start");
	on_settled(o);
	sender_wake(o->sender);
	return 0;
}

int observer_new(struct event_base *base, const struct options *options,
		 const struct observer_hooks *hooks, struct observer **out, struct error *err)
{
	owned(observer) *o = calloc(1, sizeof(*o));
	int rc;

	if (!o)
		return error_set(err, ENOMEM, "start");
	o->base = base;
	o->options = options;
	o->hooks = *hooks;
	o->lock = o->cursors = -1;
	rc = start(o, err);
	if (rc == 0)
		*out = give(o);
	return rc;
}

void observer_free(struct observer *o)
{
	if (!o)
		return;
	if (o->ready)
		event_free(o->ready);
	sender_free(o->sender);
	for (size_t i = 0; i < o->count; i++) {
		repository_free(o->repositories[i]);
		free(o->common[i]);
	}
	free(o->repositories);
	free(o->common);
	watch_free(o->watch);
	if (o->git_started)
		gitdir_stop();
	if (o->cursors >= 0)
		close(o->cursors);
	if (o->lock >= 0)
		close(o->lock);
	free(o);
}

size_t observer_waiting(const struct observer *o)
{
	return sender_waiting(o->sender);
}

size_t observer_directories(const struct observer *o)
{
	return o->watch ? watch_count(o->watch) : 0;
}
