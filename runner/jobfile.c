#include "runner/jobfile.h"

#include "base/buffer.h"
#include "base/config.h"
#include "runner/jobkeys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* While a job is read: where it stood, and its matrix. */
struct draft {
	Cupel__JobSpec *spec; /* owned: name, run, ... without matrix */
	const struct config *matrix, *needs;
	size_t first, count;              /* its expanded jobs in the result */
	enum { UNSEEN, OPEN, DONE } mark; /* of the search for cycles */
};

struct reader {
	const char *file;
	struct error *err;
	struct draft *drafts;
	size_t count;
	struct jobfile *out; /* owned */
};

void jobfile_free(struct jobfile *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		cupel__job_spec__free_unpacked(f->jobs[i], NULL);
	free(f->jobs);
	free(f);
}

static void drafts_free(struct reader *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->drafts[i].spec)
			cupel__job_spec__free_unpacked(r->drafts[i].spec, NULL);
	free(r->drafts);
}

/* --- one job ------------------------------------------------------------ */

static int read_job(struct reader *r, const struct config *c, struct draft *d)
{
	static const char *const known[] = {"run",    "env",     "matrix",    "needs",
					    "limits", "network", "profile",   "labels",
					    "retry",  "reports", "artifacts", NULL};
	const struct config *script = config_get(c, "run");
	int rc;

	if (c->kind != CONFIG_MAP)
		return config_complain(r->file, c, r->err,
				       "job '%.100s' must be a map with at least 'run'", c->key);
	rc = config_check_keys(r->file, c, known, r->err);
	if (rc < 0)
		return rc;
	if (!script)
		return config_complain(r->file, c, r->err,
				       "job '%.100s' has no 'run': what shall it do?", c->key);
	d->spec = jobkeys_new_spec();
	if (!d->spec)
		return error_set(r->err, ENOMEM, "read %s", r->file);
	rc = jobkeys_name(r->file, c, d->spec, r->err);
	for (const struct config *key = c->first; rc == 0 && key; key = key->next)
		rc = jobkeys_read(r->file, key, d->spec, r->err);
	d->matrix = config_get(c, "matrix");
	d->needs = config_get(c, "needs");
	return rc;
}

/* --- matrices ----------------------------------------------------------- */

static int check_matrix_values(struct reader *r, const struct config *axis)
{
	if (axis->kind != CONFIG_LIST || !axis->count)
		return config_complain(r->file, axis, r->err,
				       "'%.100s' must be a list of values, as in [a, b]",
				       axis->key);
	if (axis->count > JOBFILE_JOBS_MAX)
		return config_complain(r->file, axis, r->err, "more than %d values",
				       JOBFILE_JOBS_MAX);
	for (const struct config *v = axis->first; v; v = v->next) {
		int rc = jobkeys_check_plain(r->file, v, "a matrix value", r->err);

		if (rc < 0)
			return rc;
		for (const struct config *w = axis->first; w != v; w = w->next)
			if (strcmp(w->text, v->text) == 0)
				return config_complain(r->file, v, r->err,
						       "'%.100s' is in the list twice", v->text);
	}
	return 0;
}

static int check_matrix(struct reader *r, struct draft *d)
{
	d->count = 1;
	if (!d->matrix)
		return 0;
	if (d->matrix->kind != CONFIG_MAP || !d->matrix->count)
		return config_complain(r->file, d->matrix, r->err,
				       "'matrix' must be a map of lists, as in {CC: [gcc, clang]}");
	for (const struct config *axis = d->matrix->first; axis; axis = axis->next) {
		int rc = jobkeys_check_variable(r->file, axis, r->err);

		if (rc == 0)
			rc = check_matrix_values(r, axis);
		if (rc < 0)
			return rc;
		d->count *= axis->count;
		if (d->count > JOBFILE_JOBS_MAX)
			return config_complain(r->file, d->matrix, r->err,
					       "the matrix makes more than %d jobs",
					       JOBFILE_JOBS_MAX);
	}
	return 0;
}

/* The matrix's cell number `index`: its values into the environment and the name. */
static int fill_cell(struct reader *r, const struct draft *d, size_t index, Cupel__JobSpec *spec)
{
	owned_buffer name = {0};
	const char *sep = " (";
	int rc = buffer_printf(&name, "%s", spec->name);

	for (const struct config *axis = d->matrix->first; rc == 0 && axis; axis = axis->next) {
		const struct config *v = axis->first;
		size_t after = 1;

		for (const struct config *rest = axis->next; rest; rest = rest->next)
			after *= rest->count; /* the last axis turns fastest */
		for (size_t skip = index / after % axis->count; skip; skip--)
			v = v->next;
		rc = buffer_printf(&name, "%s%s=%s", sep, axis->key, v->text);
		sep = ", ";
		if (rc == 0)
			rc = jobkeys_set_env(spec, axis->key, v->text);
	}
	if (rc == 0)
		rc = buffer_append(&name, ")", 1);
	if (rc < 0)
		return error_set(r->err, -rc, "read %s", r->file);
	if (name.length > MESSAGE_NAME_MAX)
		return config_complain(r->file, d->matrix, r->err,
				       "the matrix makes a job name of %zu bytes, at most %d fit: "
				       "%.100s...",
				       name.length, MESSAGE_NAME_MAX, name.data);
	free(spec->name);
	spec->name = buffer_take(&name);
	return 0;
}

static int expand(struct reader *r, struct draft *d)
{
	struct jobfile *out = r->out;

	d->first = out->count;
	for (size_t i = 0; i < d->count; i++) {
		Cupel__JobSpec *spec = jobkeys_copy(d->spec);

		if (!spec)
			return error_set(r->err, ENOMEM, "read %s", r->file);
		out->jobs[out->count++] = spec;
		if (d->matrix) {
			int rc = fill_cell(r, d, i, spec);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int expand_all(struct reader *r, const struct config *jobs)
{
	size_t total = 0;

	for (size_t i = 0; i < r->count; i++)
		total += r->drafts[i].count;
	if (total > JOBFILE_JOBS_MAX)
		return config_complain(r->file, jobs, r->err,
				       "the file makes %zu jobs, at most %d are taken", total,
				       JOBFILE_JOBS_MAX);
	r->out->jobs = calloc(total + 1, sizeof(*r->out->jobs));
	if (!r->out->jobs)
		return error_set(r->err, ENOMEM, "read %s", r->file);
	for (size_t i = 0; i < r->count; i++) {
		int rc = expand(r, &r->drafts[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- needs -------------------------------------------------------------- */

static struct draft *find_draft(struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->drafts[i].spec->name, name) == 0)
			return &r->drafts[i];
	return NULL;
}

static int check_needs(struct reader *r, struct draft *d)
{
	if (!d->needs)
		return 0;
	if (d->needs->kind != CONFIG_LIST || d->needs->count > JOBFILE_LIST_MAX)
		return config_complain(r->file, d->needs, r->err,
				       "'needs' must be a list of at most %d job names",
				       JOBFILE_LIST_MAX);
	for (const struct config *n = d->needs->first; n; n = n->next) {
		int rc = jobkeys_check_plain(r->file, n, "the name of a job", r->err);

		if (rc < 0)
			return rc;
		if (!find_draft(r, n->text))
			return config_complain(r->file, n, r->err, "no job is named '%.100s'",
					       n->text);
		for (const struct config *m = d->needs->first; m != n; m = m->next)
			if (strcmp(m->text, n->text) == 0)
				return config_complain(r->file, n, r->err,
						       "'%.100s' is in the list twice", n->text);
	}
	return 0;
}

/* Depth first; recursion is bounded by the number of jobs. */
static int check_cycle(struct reader *r, struct draft *d)
{
	d->mark = OPEN;
	for (const struct config *n = d->needs ? d->needs->first : NULL; n; n = n->next) {
		struct draft *needed = find_draft(r, n->text);
		int rc;

		if (needed->mark == OPEN)
			return config_complain(
				r->file, n, r->err,
				"'%.100s' needs '%.100s', which waits for it in turn",
				d->spec->name, n->text);
		rc = needed->mark == UNSEEN ? check_cycle(r, needed) : 0;
		if (rc < 0)
			return rc;
	}
	d->mark = DONE;
	return 0;
}

static size_t count_needed(struct reader *r, const struct draft *d)
{
	size_t total = 0;

	for (const struct config *n = d->needs->first; n; n = n->next)
		total += find_draft(r, n->text)->count;
	return total;
}

/* Writes the exact names of all that `d` needs into one of its jobs. */
static int fill_needs(struct reader *r, const struct draft *d, Cupel__JobSpec *spec)
{
	spec->needs = calloc(count_needed(r, d) + 1, sizeof(*spec->needs));
	if (!spec->needs)
		return error_set(r->err, ENOMEM, "read %s", r->file);
	for (const struct config *n = d->needs->first; n; n = n->next) {
		const struct draft *needed = find_draft(r, n->text);

		for (size_t i = 0; i < needed->count; i++) {
			char *name = strdup(r->out->jobs[needed->first + i]->name);

			if (!name)
				return error_set(r->err, ENOMEM, "read %s", r->file);
			spec->needs[spec->n_needs++] = name;
		}
	}
	return 0;
}

static int fill_all_needs(struct reader *r)
{
	int rc = 0;

	assert(r->out->jobs); /* expand_all() came first */
	for (size_t i = 0; rc == 0 && i < r->count; i++) {
		const struct draft *d = &r->drafts[i];

		for (size_t k = 0; rc == 0 && d->needs && k < d->count; k++)
			rc = fill_needs(r, d, r->out->jobs[d->first + k]);
	}
	return rc;
}

/* --- the file ----------------------------------------------------------- */

static int read_jobs(struct reader *r, const struct config *jobs)
{
	int rc = 0;

	if (jobs->kind != CONFIG_MAP || !jobs->count)
		return config_complain(r->file, jobs, r->err,
				       "'jobs' must be a map with at least one job");
	if (jobs->count > JOBFILE_JOBS_MAX)
		return config_complain(r->file, jobs, r->err, "%zu jobs, at most %d are taken",
				       jobs->count, JOBFILE_JOBS_MAX);
	r->drafts = calloc(jobs->count, sizeof(*r->drafts));
	if (!r->drafts)
		return error_set(r->err, ENOMEM, "read %s", r->file);
	for (const struct config *c = jobs->first; rc == 0 && c; c = c->next) {
		struct draft *d = &r->drafts[r->count++];

		rc = read_job(r, c, d);
		if (rc == 0)
			rc = check_matrix(r, d);
	}
	for (size_t i = 0; rc == 0 && i < r->count; i++)
		rc = check_needs(r, &r->drafts[i]);
	for (size_t i = 0; rc == 0 && i < r->count; i++)
		rc = r->drafts[i].mark == UNSEEN ? check_cycle(r, &r->drafts[i]) : 0;
	if (rc == 0)
		rc = expand_all(r, jobs);
	return rc < 0 ? rc : fill_all_needs(r);
}

static int read_file(struct reader *r, const struct config *root)
{
	static const char *const known[] = {"jobs", NULL};
	const struct config *jobs;
	int rc;

	if (root->kind != CONFIG_MAP)
		return config_complain(r->file, root, r->err, "expected a map with the key 'jobs'");
	rc = config_check_keys(r->file, root, known, r->err);
	if (rc < 0)
		return rc;
	jobs = config_get(root, "jobs");
	if (!jobs)
		return error_say(
			r->err, EINVAL,
			"%s:1:1: there are no jobs: the least is 'jobs: {test: {run: make check}}'",
			r->file);
	return read_jobs(r, jobs);
}

int jobfile_parse(const char *name, const void *bytes, size_t length, struct jobfile **out,
		  struct error *err)
{
	owned(config) *root = NULL;
	owned(jobfile) *file = calloc(1, sizeof(*file));
	struct reader r = {.file = name, .err = err, .out = file};
	int rc;

	if (!file)
		return error_set(err, ENOMEM, "read %s", name);
	if (length > JOBFILE_MAX)
		return error_say(err, EINVAL,
				 "%s:1:1: the file has %zu bytes, at most %zu are read", name,
				 length, JOBFILE_MAX);
	rc = config_parse(name, bytes, length, &root, err);
	if (rc == 0)
		rc = read_file(&r, root);
	drafts_free(&r);
	if (rc < 0)
		return rc;
	*out = give(file);
	return 0;
}

int jobfile_single(const char *rule, const char *script, struct jobfile **out, struct error *err)
{
	owned(jobfile) *file = calloc(1, sizeof(*file));
	Cupel__JobSpec *spec;

	if (file)
		file->jobs = calloc(1, sizeof(*file->jobs));
	if (!file || !file->jobs)
		return error_set(err, ENOMEM, "make the job of %s", rule);
	spec = file->jobs[0] = jobkeys_new_spec();
	if (!spec)
		return error_set(err, ENOMEM, "make the job of %s", rule);
	file->count = 1;
	free(spec->rule);
	spec->name = strdup("test");
	spec->run = strdup(script);
	spec->rule = strdup(rule);
	if (!spec->name || !spec->run || !spec->rule)
		return error_set(err, ENOMEM, "make the job of %s", rule);
	*out = give(file);
	return 0;
}
