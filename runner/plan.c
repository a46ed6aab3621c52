#include "runner/plan.h"

#include "runner/detect.h"

#include <string.h>

struct source {
	struct git *git;
	const char *tree;
};

static int find_kind(void *context, const char *path, struct error *err)
{
	const struct source *s = context;
	char id[GIT_ID_MAX + 1];
	enum git_kind kind;
	int rc = git_find(s->git, s->tree, path, id, &kind, err);

	if (rc == -ENOENT)
		return DETECT_NOTHING;
	if (rc < 0)
		return rc;
	return kind == GIT_FILE         ? DETECT_FILE
	       : kind == GIT_EXECUTABLE ? DETECT_EXECUTABLE
	       : kind == GIT_DIRECTORY  ? DETECT_DIRECTORY
					: DETECT_OTHER;
}

static int append(void *context, const void *bytes, size_t length)
{
	return buffer_append(context, bytes, length);
}

static int read_path(void *context, const char *path, size_t max, struct buffer *out,
		     struct error *err)
{
	const struct source *s = context;
	char id[GIT_ID_MAX + 1];
	enum git_kind kind;
	int rc = git_find(s->git, s->tree, path, id, &kind, err);

	return rc < 0 ? rc : git_file(s->git, id, max, append, out, err);
}

struct listing {
	bool (*entry)(void *with, const char *name);
	void *with;
};

static int list_entry(void *context, const struct git_entry *e)
{
	const struct listing *l = context;

	return l->entry(l->with, e->name);
}

static int list_path(void *context, const char *path, bool (*entry)(void *with, const char *name),
		     void *with, struct error *err)
{
	const struct source *s = context;
	struct listing listing = {entry, with};
	char id[GIT_ID_MAX + 1];
	enum git_kind kind;
	int rc = git_find(s->git, s->tree, path, id, &kind, err);

	if (rc == 0)
		rc = git_each(s->git, id, list_entry, &listing, err);
	return rc < 0 ? rc : 0;
}

int plan_jobs(struct git *g, const struct git_commit *commit, struct jobfile **out,
	      struct error *err)
{
	struct source source = {g, commit->tree};
	const struct detect_tree tree = {find_kind, read_path, list_path, &source};

	return detect_jobs(&tree, out, err);
}

int plan_message(const Cupel__Attempt *attempt, const struct git_commit *commit,
		 const struct jobfile *jobs, Cupel__Plan *out, struct error *err)
{
	cupel__plan__init(out);
	out->attempt = (Cupel__Attempt *)attempt; /* packed, never changed */
	out->commit = (char *)commit->id;
	out->subject = (char *)commit->subject;
	out->author = (char *)commit->author;
	out->n_jobs = jobs->count;
	out->jobs = jobs->jobs;
	if (cupel__plan__get_packed_size(out) > FRAME_PAYLOAD_MAX)
		return error_say(
			err, EFBIG,
			"%s:1:1: its %zu jobs make a plan of more than %zu bytes: put long "
			"scripts into files of the repository",
			jobs->jobs[0]->rule, jobs->count, FRAME_PAYLOAD_MAX);
	return 0;
}
