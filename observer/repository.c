#include "observer/repository.h"

#include "base/clock.h"
#include "base/log.h"
#include "observer/cursor_file.h"
#include "observer/remote.h"
#include "proto/message.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* A push moves its refs within a moment; one look for all of them. */
#define SETTLE_MS 1
/* Acknowledgements come in bursts, and each write of the cursor is two fsyncs. */
#define SAVE_MS       20
#define SAVE_AGAIN_MS 5000
/* How soon after it went away a repository is looked for again. */
#define AWAY_MS 2000
/* A fetch that takes longer is more likely dead than slow. */
#define FETCH_MS 600000

struct repository {
	char *name, *location, *mirror;
	const char *const *globs; /* borrowed */
	uint64_t poll_ms;
	bool build_head;
	int cursors; /* borrowed */
	struct repository_host host;

	struct gitdir_known gitdir;
	struct cursor cursor;
	bool known;          /* there is a cursor: the first sight is over */
	bool unsaved;        /* the cursor is ahead of its file */
	struct batch *batch; /* NULL while there is nothing to send */
	size_t completed;    /* of the batch, when last looked */
	bool changed;        /* to be looked at again when the batch is over */
	bool settled;
	struct remote *fetch; /* under way */
	struct event *look, *poll, *save;
	int64_t look_ms;           /* what the last look took */
	char odd_ref[200];         /* one whose name can't be sent, found by this look */
	struct error told, untold; /* the warning that holds now; the one of this look */
	bool away;
	bool save_failed;
};

static void arm(struct event *e, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	if (!evtimer_pending(e, NULL))
		(void)evtimer_add(e, &tv); /* timers without memory of their own don't fail */
}

/* --- warnings: once, and again when they change
 * --------------------------------------------------- */

static void tell(struct repository *r, const char *sentence)
{
	if (strcmp(r->told.text, sentence) == 0)
		return;
	if (*sentence)
		log_warning("%s", sentence);
	(void)error_say(&r->told, 0, "%s", sentence);
}

static void note_odd_ref(struct repository *r)
{
	if (*r->odd_ref)
		(void)error_say(
			&r->untold, EINVAL,
			"repository %s: the ref %s isn't watched, its name is no UTF-8 text of at most "
			"%d bytes: rename it",
			r->name, r->odd_ref, MESSAGE_REF_MAX);
}

/* --- the cursor on disk
 * --------------------------------------------------------------------------- */

static void save(struct repository *r)
{
	struct error err = {0};

	if (!r->unsaved)
		return;
	if (cursor_file_save(r->cursors, &r->cursor, &err) == 0) {
		r->unsaved = r->save_failed = false;
		return;
	}
	if (!r->save_failed)
		log_warning(
			"repository %s: %s; trying again until it succeeds, after a restart some "
			"events would be sent twice",
			r->name, err.text);
	r->save_failed = true;
	arm(r->save, SAVE_AGAIN_MS);
}

static void on_save(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	save(arg);
}

/* The batch may have got on, or be over. */
static void advance(struct repository *r)
{
	size_t completed = batch_completed(r->batch);

	if (completed > r->completed && r->known)
		r->unsaved = true;
	r->completed = completed;
	if (batch_is_over(r->batch)) {
		if (*batch_trouble(r->batch))
			tell(r, batch_trouble(r->batch));
		batch_free(r->batch);
		r->batch = NULL;
		r->unsaved |=
			!r->known; /* a first sight is written when all of it is acknowledged */
		r->known = true;
		if (r->changed)
			repository_changed(r);
	}
	if (r->unsaved)
		arm(r->save, SAVE_MS);
}

/* --- looking ------------------------------------------------------------ */

static bool is_wanted(void *context, const char *name)
{
	struct repository *r = context;
	bool wanted = false;

	for (const char *const *glob = r->globs; *glob && !wanted; glob++)
		wanted = fnmatch(*glob, name, 0) == 0;
	if (!wanted)
		return false;
	if (strlen(name) <= MESSAGE_REF_MAX && git_text_is_plain(name))
		return true;
	(void)snprintf(r->odd_ref, sizeof(r->odd_ref), "%s", name);
	return false;
}

static int cover(struct repository *r, const struct gitdir *g, struct error *err)
{
	struct error why = {0};
	int rc;

	if (!r->host.watch || r->mirror)
		return 0;
	rc = watch_cover(r->host.watch, r, gitdir_common(g), r->globs, &why);
	if (rc == -ENOSPC) { /* the poll finds what isn't watched */
		(void)error_prefix(&why, "repository %s is partly found by its poll alone",
				   r->name);
		r->untold = why;
		return 0;
	}
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static int baseline(struct repository *r, struct refs *now, struct error *err)
{
	refs_done(&r->cursor.refs);
	r->cursor.refs = *now;
	*now = (struct refs){0};
	r->known = true;
	return cursor_file_save(r->cursors, &r->cursor, err);
}

/* Takes `g`. */
static int start_batch(struct repository *r, struct gitdir *g, const struct refs *now,
		       struct error *err)
{
	const struct batch_options options = {&r->cursor, r->name, !r->known};
	owned(gitdir) *git = g;
	owned_moves moves = {0};
	char head[MESSAGE_REF_MAX + 1] = "";
	bool has_head = gitdir_head(git, head, sizeof(head));
	int rc = moves_find(&r->cursor.refs, now, has_head ? head : NULL, &moves);

	if (rc < 0)
		return error_set(err, -rc, "repository %s", r->name);
	if (!moves.count && r->known)
		return 0;
	r->completed = 0;
	rc = batch_new(give(git), &moves, &options, &r->batch, err);
	if (rc == 0)
		r->host.wake(r->host.context);
	return rc;
}

static int read_refs(struct repository *r, struct gitdir **git, struct refs *now, struct error *err)
{
	int rc = gitdir_open(r->mirror ? r->mirror : r->location, &r->gitdir, git, err);

	*r->odd_ref = '\0';
	if (rc == 0)
		rc = cover(r, *git, err);
	if (rc == 0)
		rc = gitdir_refs(*git, is_wanted, r, now, err);
	if (rc == 0)
		note_odd_ref(r);
	return rc;
}

static int look_at(struct repository *r, struct error *err)
{
	owned(gitdir) *git = NULL;
	owned_refs now = {0};
	int rc;

	r->changed = false;
	r->untold = (struct error){0};
	rc = read_refs(r, &git, &now, err);
	if (rc < 0)
		return rc;
	if (!r->known && !r->build_head)
		return baseline(r, &now, err);
	return start_batch(r, give(git), &now, err);
}

static void settle(struct repository *r)
{
	if (r->settled)
		return;
	r->settled = true;
	r->host.settled(r->host.context);
}

static void went_away(struct repository *r, const struct error *err)
{
	if (r->host.watch)
		watch_drop(r->host.watch, r);
	if (!r->away)
		log_warning("repository %s: %s; it is looked for again and again", r->name,
			    err->text);
	r->away = true;
	arm(r->look, r->poll_ms < AWAY_MS ? r->poll_ms : AWAY_MS);
}

static void look(struct repository *r)
{
	int64_t start = clock_boot_ms();
	struct error err = {0};

	if (r->batch) {
		r->changed = true;
		return;
	}
	if (look_at(r, &err) < 0) {
		went_away(r, &err);
	} else {
		if (r->away)
			log_info("repository %s is back", r->name);
		r->away = false;
		if (!r->batch || *r->untold.text)
			tell(r, r->untold.text);
	}
	r->look_ms = clock_boot_ms() - start;
	settle(r);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	look(arg);
}

/* A repository whose refs take long to read is read half of the time at most. */
void repository_changed(struct repository *r)
{
	if (r->away)
		(void)evtimer_del(r->look);
	r->changed = true;
	arm(r->look, r->look_ms > SETTLE_MS ? (uint64_t)r->look_ms : SETTLE_MS);
}

/* --- fetching ----------------------------------------------------------- */

static void on_fetched(void *context, const char *failure)
{
	struct repository *r = context;

	remote_free(r->fetch);
	r->fetch = NULL;
	if (!failure) {
		look(r);
		return;
	}
	if (r->known && !r->settled) /* what was fetched and not sent before the restart */
		look(r);
	if (!r->away)
		log_warning("repository %s: %s; trying again at each poll", r->name, failure);
	r->away = true;
	settle(r);
}

static void start_fetch(struct repository *r)
{
	const struct remote_options options = {.mirror = r->mirror,
					       .url = r->location,
					       .deadline_ms = FETCH_MS,
					       .done = on_fetched,
					       .context = r};
	struct error err = {0};

	if (!r->fetch && remote_start(r->host.base, &options, &r->fetch, &err) < 0)
		on_fetched(r, err.text);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct repository *r = arg;

	(void)fd;
	(void)what;
	arm(r->poll, r->poll_ms);
	if (r->mirror)
		start_fetch(r);
	else
		look(r);
}

/* --- life --------------------------------------------------------------- */

static int make_timers(struct repository *r)
{
	r->look = evtimer_new(r->host.base, on_look, r);
	r->poll = evtimer_new(r->host.base, on_poll, r);
	r->save = evtimer_new(r->host.base, on_save, r);
	return r->look && r->poll && r->save ? 0 : -ENOMEM;
}

int repository_new(const struct repository_options *options, const struct repository_host *host,
		   struct repository **out, struct error *err)
{
	owned(repository) *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return error_set(err, ENOMEM, "repository %s", options->name);
	r->host = *host;
	r->globs = options->globs;
	r->poll_ms = options->poll_ms;
	r->build_head = options->build_head;
	r->cursors = options->cursors;
	r->name = strdup(options->name);
	r->location = strdup(options->location);
	r->mirror = options->mirror ? strdup(options->mirror) : NULL;
	if (!r->name || !r->location || (options->mirror && !r->mirror) || make_timers(r) < 0)
		return error_set(err, ENOMEM, "repository %s", options->name);
	rc = cursor_file_load(r->cursors, r->location, &r->cursor, err);
	if (rc < 0)
		return error_prefix(err, "repository %s", r->name);
	r->known = rc == 1;
	if (!r->known && !(r->cursor.repository = strdup(r->location)))
		return error_set(err, ENOMEM, "repository %s", r->name);
	*out = give(r);
	return 0;
}

void repository_free(struct repository *r)
{
	if (!r)
		return;
	if (r->save)
		save(r);
	remote_free(r->fetch);
	batch_free(r->batch);
	if (r->look)
		event_free(r->look);
	if (r->poll)
		event_free(r->poll);
	if (r->save)
		event_free(r->save);
	gitdir_known_done(&r->gitdir);
	cursor_done(&r->cursor);
	free(r->name);
	free(r->location);
	free(r->mirror);
	free(r);
}

int repository_start(struct repository *r, struct error *err)
{
	int rc;

	arm(r->poll, r->poll_ms);
	if (r->mirror) {
		start_fetch(r);
		return 0;
	}
	rc = look_at(r, err);
	if (rc < 0)
		return rc;
	tell(r, r->untold.text);
	settle(r);
	return 0;
}

bool repository_next(struct repository *r, struct batch_event *out)
{
	if (!r->batch)
		return false;
	if (batch_next(r->batch, out))
		return true;
	advance(r);
	return false;
}

void repository_acked(struct repository *r, size_t move)
{
	batch_acked(r->batch, move);
	advance(r);
}

const char *repository_name(const struct repository *r)
{
	return r->name;
}

const char *repository_location(const struct repository *r)
{
	return r->location;
}

bool repository_is_settled(const struct repository *r)
{
	return r->settled;
}
