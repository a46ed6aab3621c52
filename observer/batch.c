#include "observer/batch.h"

#include <stdio.h>
#include <string.h>

/* Ids held at once of one push, 1.3 MB: the rest of a longer one is walked to again. */
#define LIST_MAX 65536

struct batch {
	struct gitdir *git;
	struct moves moves;
	struct cursor *cursor; /* borrowed */
	const char *name;      /* borrowed */
	bool tips;
	size_t completed; /* moves that the cursor has taken over or that were given up */
	size_t current;   /* the move whose events are given now */
	bool walked;      /* `list` is that of the current move */
	bool more;        /* the list was full: there is more behind it */
	struct oid *list;
	size_t count, at; /* of the list; the next to give */
	size_t given;     /* events of the current move before this list */
	bool *dropped;    /* moves whose refs can't be read: the cursor doesn't take them over */
	struct error trouble;
};

int batch_new(struct gitdir *git, struct moves *moves, const struct batch_options *options,
	      struct batch **out, struct error *err)
{
	owned(batch) *b = calloc(1, sizeof(*b));

	if (!b) {
		gitdir_free(git);
		moves_done(moves);
		return error_set(err, ENOMEM, "repository %s", options->name);
	}
	b->git = git;
	b->moves = *moves;
	*moves = (struct moves){0};
	b->cursor = options->cursor;
	b->name = options->name;
	b->tips = options->tips;
	b->dropped = calloc(b->moves.count + 1, sizeof(*b->dropped));
	if (!b->dropped)
		return error_set(err, ENOMEM, "repository %s", options->name);
	*out = give(b);
	return 0;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	gitdir_free(b->git);
	moves_done(&b->moves);
	free(b->list);
	free(b->dropped);
	free(b);
}

/* --- what is new -------------------------------------------------------- */

/* What counts as seen for the current move: tips of the moves before it, then the cursor's refs,
 * then (from `*live` on) its seen ids. NULL: no memory. */
static struct oid *hidden(const struct batch *b, size_t *live, size_t *count)
{
	const struct cursor *c = b->cursor;
	struct oid *ids =
		calloc(b->current - b->completed + c->refs.count + c->seen_count + 1, sizeof(*ids));
	size_t n = 0;

	if (!ids)
		return NULL;
	for (size_t i = b->completed; i < b->current; i++)
		if (!b->dropped[i] && !oid_is_none(&b->moves.items[i].to))
			ids[n++] = b->moves.items[i].to;
	for (size_t i = 0; i < c->refs.count; i++)
		ids[n++] = c->refs.items[i].id;
	*live = n;
	for (size_t i = 0; i < c->seen_count; i++)
		ids[n++] = c->seen[i];
	*count = n;
	return ids;
}

static int take_tip(struct batch *b, const struct oid *tip)
{
	b->list = malloc(sizeof(*b->list));
	if (!b->list)
		return -ENOMEM;
	*b->list = *tip;
	b->count = 1;
	return 0;
}

static void drop(struct batch *b, const char *why)
{
	b->dropped[b->current] = true;
	(void)error_say(&b->trouble, EIO, "repository %s: %s: %s", b->name,
			b->moves.items[b->current].ref, why);
}

/* The list of the current move from its `given`-th event on. What was seen on refs that are gone
 * may be half collected by gc and spoil the walk: then without it. A history with holes can't be
 * walked at all: then the tip alone, and a word about it. */
static int walk(struct batch *b, const struct oid *tip)
{
	struct move *m = &b->moves.items[b->current];
	struct walk how = {.skip = b->given, .max = LIST_MAX};
	size_t live;
	struct oid *ids = hidden(b, &live, &how.hidden_count);
	struct error err = {0};
	int rc = ids ? 0 : -ENOMEM;

	how.hidden = ids;
	if (rc == 0)
		rc = gitdir_walk(b->git, tip, &how, &b->list, &b->count, &err);
	if (rc < 0 && rc != -ENOMEM && live < how.hidden_count) {
		how.hidden_count = live;
		rc = gitdir_walk(b->git, tip, &how, &b->list, &b->count, &err);
	}
	free(ids);
	if (rc == 0) {
		b->more = b->count == LIST_MAX;
	} else if (!gitdir_is_there(b->git)) {
		drop(b, "the repository has gone");
		rc = 0;
	} else if (rc != -ENOMEM) {
		(void)error_say(
			&b->trouble, EIO,
			"%s; of what came to %.100s only the newest commit is tested: complete the "
			"repository (git fetch --unshallow, git fsck)",
			err.text, m->ref);
		rc = b->given ? 0 : take_tip(b, tip);
	}
	return rc;
}

/* Fills the list for the current move; empty when it brings nothing. */
static void walk_current(struct batch *b)
{
	struct move *m = &b->moves.items[b->current];
	struct oid tip;
	int rc = 0;

	free(b->list);
	b->list = NULL;
	b->count = b->at = 0;
	b->more = false;
	b->walked = true;
	if (oid_is_none(&m->to))
		return;
	rc = gitdir_commit(b->git, &m->to, &tip);
	if (rc == -EINVAL)
		return; /* a tag on a tree or a file: nothing that could be tested */
	if (rc < 0)
		drop(b, "it points at an object that isn't there: run git fsck");
	else if (b->tips)
		rc = strncmp(m->ref, "refs/heads/", 11) == 0 ? take_tip(b, &tip) : 0;
	else
		rc = walk(b, &tip);
	if (rc == -ENOMEM)
		drop(b, "no memory to walk its history");
}

/* --- giving and taking -------------------------------------------------- */

/* Can `old` still be reached from what the cursor says now? */
static bool is_kept(const struct batch *b, const struct oid *old)
{
	const struct refs *refs = &b->cursor->refs;
	struct oid tip, *list = NULL, *ids = calloc(refs->count + 1, sizeof(*ids));
	struct walk how = {.hidden = ids, .hidden_count = refs->count, .max = 1};
	size_t count = 1;

	for (size_t i = 0; ids && i < refs->count; i++)
		ids[i] = refs->items[i].id;
	if (ids && gitdir_commit(b->git, old, &tip) == 0)
		(void)gitdir_walk(b->git, &tip, &how, &list, &count,
				  NULL); /* can't say: not kept */
	free(list);
	free(ids);
	return count == 0;
}

static void take_over(struct batch *b, const struct move *m)
{
	struct cursor *c = b->cursor;
	int rc = 0;

	if (oid_is_none(&m->to))
		refs_remove(&c->refs, m->ref);
	else
		rc = refs_set(&c->refs, m->ref, &m->to);
	if (rc == 0 && !oid_is_none(&m->from) && !is_kept(b, &m->from))
		rc = cursor_see(c, &m->from);
	if (rc < 0)
		(void)error_set(&b->trouble, -rc, "repository %s: note %s", b->name, m->ref);
}

static void complete(struct batch *b)
{
	while (b->completed < b->current && !b->moves.items[b->completed].waiting) {
		if (!b->dropped[b->completed])
			take_over(b, &b->moves.items[b->completed]);
		b->completed++;
	}
}

bool batch_next(struct batch *b, struct batch_event *out)
{
	while (b->current < b->moves.count) {
		struct move *m = &b->moves.items[b->current];

		if (!b->walked)
			walk_current(b);
		if (b->at < b->count) {
			*out = (struct batch_event){
				.ref = m->ref, .commit = b->list[b->at++], .move = b->current};
			gitdir_describe(b->git, &out->commit, &out->text);
			m->waiting++;
			return true;
		}
		b->given = b->more ? b->given + b->count : 0;
		b->current += !b->more;
		b->walked = false;
		complete(b);
	}
	return false;
}

void batch_acked(struct batch *b, size_t move)
{
	b->moves.items[move].waiting--;
	complete(b);
}

bool batch_is_over(const struct batch *b)
{
	return b->completed == b->moves.count;
}

size_t batch_completed(const struct batch *b)
{
	return b->completed;
}

const char *batch_trouble(const struct batch *b)
{
	return b->trouble.text;
}
