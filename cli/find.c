#include "cli/find.h"

#include <stdlib.h>
#include <string.h>

#define PAGE          200   /* runs in one answer */
#define LOOK_BACK     10000 /* runs, for a commit */
#define PREFIX_LEAST  4     /* digits of a commit that mean something */
#define NUMBER_DIGITS 12    /* a longer one is a commit without letters */

uint64_t find_number(const char *word)
{
	size_t length = strlen(word);

	if (length == 0 || length > NUMBER_DIGITS || strspn(word, "0123456789") != length)
		return 0;
	return strtoull(word, NULL, 10);
}

bool find_is_commit(const char *word)
{
	size_t length = strlen(word);

	return length >= PREFIX_LEAST && length <= 64 && strspn(word, "0123456789abcdef") == length;
}

/* Looks through one page; the number of runs in it, and *before moves to the next one. */
static int look(struct client *c, const char *commit, uint32_t limit, uint64_t *before,
		uint64_t *run, struct error *err)
{
	Cupel__List wish = CUPEL__LIST__INIT;
	ProtobufCMessage *m;
	Cupel__Runs *runs;
	int rc, count;

	wish.limit = limit;
	wish.before = *before;
	rc = client_ask(c, FRAME_LIST, &wish.base, FRAME_RUNS, &m, err);
	if (rc < 0)
		return rc;
	runs = (Cupel__Runs *)m;
	for (size_t i = 0; i < runs->n_runs && !*run; i++) {
		*before = runs->runs[i]->id;
		if (strncmp(runs->runs[i]->commit, commit, strlen(commit)) == 0)
			*run = runs->runs[i]->id;
	}
	count = (int)runs->n_runs;
	message_free(m);
	return count;
}

static int find_commit(struct client *c, const char *commit, uint64_t *run, struct error *err)
{
	uint64_t before = 0;
	int seen = 0, rc = 1;

	*run = 0;
	while (rc > 0 && !*run && seen < LOOK_BACK) {
		rc = look(c, commit, *commit ? PAGE : 1, &before, run, err);
		seen += rc;
	}
	if (rc < 0)
		return rc;
	if (*run)
		return 0;
	if (!*commit)
		return error_say(err, ENOENT, "there is no run yet: `cupel submit` makes one");
	return error_say(err, ENOENT,
			 "none of the last %d runs is of a commit %s; see `cupel list`", seen,
			 commit);
}

int find_run(struct client *c, const char *word, uint64_t *run, struct error *err)
{
	*run = find_number(word);
	if (*run)
		return 0;
	if (strcmp(word, "latest") == 0)
		return find_commit(c, "", run, err);
	if (find_is_commit(word))
		return find_commit(c, word, run, err);
	return error_say(
		err, ENOENT,
		"\"%s\" is no run: it has a number, or name it by at least %d digits of its "
		"commit, or `latest`",
		word, PREFIX_LEAST);
}
