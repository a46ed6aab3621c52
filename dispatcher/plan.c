#include "dispatcher/inside.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* A plan comes from a runner, which read a stranger's job file. What would leave a run waiting for
 * ever is looked for again here: names twice, needs that aren't there, needs in a circle. Names are
 * looked up in a sorted list, since a plan of one frame may hold a hundred thousand needs. */

#define NEEDS_MAX 16384 /* of all jobs of a plan together */

struct need {
	uint16_t job, needed; /* places in the plan */
};
struct checked {
	const Cupel__Plan *plan;
	uint16_t sorted[MESSAGE_JOBS_MAX]; /* places, by name */
	struct need *needs;
	size_t needs_count;
};

static int by_name(const void *a, const void *b, void *context)
{
	const Cupel__Plan *plan = context;

	return strcmp(plan->jobs[*(const uint16_t *)a]->name,
		      plan->jobs[*(const uint16_t *)b]->name);
}

/* -1: there is none of that name. */
static int find(const struct checked *c, const char *name)
{
	size_t from = 0, to = c->plan->n_jobs;

	while (from < to) {
		size_t middle = (from + to) / 2;
		int order = strcmp(name, c->plan->jobs[c->sorted[middle]]->name);

		if (order == 0)
			return c->sorted[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return -1;
}

static int check_names(struct checked *c, struct error *err)
{
	const Cupel__Plan *plan = c->plan;

	if (plan->n_jobs == 0)
		return error_say(err, EINVAL, "there is nothing to test in this commit");
	if (plan->n_jobs > MESSAGE_JOBS_MAX)
		return error_say(err, EINVAL, "it has %zu jobs, at most %d are taken", plan->n_jobs,
				 MESSAGE_JOBS_MAX);
	for (size_t i = 0; i < plan->n_jobs; i++)
		c->sorted[i] = (uint16_t)i;
	qsort_r(c->sorted, plan->n_jobs, sizeof(c->sorted[0]), by_name, (void *)plan);
	for (size_t i = 1; i < plan->n_jobs; i++)
		if (by_name(&c->sorted[i - 1], &c->sorted[i], (void *)plan) == 0)
			return error_say(err, EINVAL, "there are two jobs named %s",
					 plan->jobs[c->sorted[i]]->name);
	return 0;
}

static int check_needs(struct checked *c, struct error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < c->plan->n_jobs; i++)
		count += c->plan->jobs[i]->n_needs;
	if (count > NEEDS_MAX)
		return error_say(err, EINVAL, "its jobs have %zu needs, at most %d are taken",
				 count, NEEDS_MAX);
	c->needs = calloc(count + 1, sizeof(*c->needs));
	if (!c->needs)
		return error_set(err, ENOMEM, "take up the plan");
	for (size_t i = 0; i < c->plan->n_jobs; i++) {
		const Cupel__JobSpec *job = c->plan->jobs[i];

		for (size_t n = 0; n < job->n_needs; n++) {
			int needed = find(c, job->needs[n]);

			if (needed < 0)
				return error_say(err, EINVAL, "job %s needs %s, which is not there",
						 job->name, job->needs[n]);
			c->needs[c->needs_count++] = (struct need){(uint16_t)i, (uint16_t)needed};
		}
	}
	return 0;
}

/* Takes away, round by round, the jobs whose needs are all gone; what stays goes in a circle. */
static int check_circles(const struct checked *c, struct error *err)
{
	unsigned waits[MESSAGE_JOBS_MAX] = {0};
	bool gone[MESSAGE_JOBS_MAX] = {0};
	size_t left = c->plan->n_jobs, before;

	for (size_t n = 0; n < c->needs_count; n++)
		waits[c->needs[n].job]++;
	do {
		bool leaves[MESSAGE_JOBS_MAX] = {0};

		before = left;
		for (size_t i = 0; i < c->plan->n_jobs; i++) {
			leaves[i] = !gone[i] && !waits[i];
			gone[i] |= leaves[i];
			left -= leaves[i];
		}
		for (size_t n = 0; n < c->needs_count; n++)
			waits[c->needs[n].job] -= leaves[c->needs[n].needed];
	} while (left && left < before);
	for (size_t i = 0; left && i < c->plan->n_jobs; i++)
		if (!gone[i])
			return error_say(err, EINVAL, "job %s needs itself, by way of others",
					 c->plan->jobs[i]->name);
	return 0;
}

static int check_plan(struct checked *c, struct error *err)
{
	int rc = check_names(c, err);

	if (rc == 0)
		rc = check_needs(c, err);
	return rc < 0 ? rc : check_circles(c, err);
}

static void insert_jobs(struct dispatcher *d, uint64_t run, const struct checked *c)
{
	const Cupel__Plan *plan = c->plan;
	uint64_t ids[MESSAGE_JOBS_MAX];

	for (size_t i = 0; i < plan->n_jobs; i++) {
		struct job_new job = {
			.run = run, .name = plan->jobs[i]->name, .spec = plan->jobs[i]};

		job.kind = CUPEL__KIND__KIND_JOB;
		job.state = plan->jobs[i]->n_needs ? CUPEL__STATE__STATE_HELD
						   : CUPEL__STATE__STATE_QUEUED;
		if (store_job_add(d->store, &job, &ids[i]) < 0)
			return; /* sticks: the commit fails and the runner sends the plan again */
		if (!plan->jobs[i]->n_needs &&
		    queue_put(&d->queue, ids[i], run, plan->jobs[i], false, NULL) < 0)
			life_enqueue(d, ids[i], run, CUPEL__KIND__KIND_JOB, false, "");
	}
	for (size_t n = 0; n < c->needs_count; n++)
		(void)store_job_needs(d->store, ids[c->needs[n].job], ids[c->needs[n].needed]);
	(void)store_run_open(d->store, run, (int)plan->n_jobs); /* sticks when it fails */
}

void life_plan(struct attempt *a, const Cupel__Plan *plan)
{
	struct dispatcher *d = a->dispatcher;
	struct checked c = {.plan = plan};
	struct error err = {0};

	if (a->over)
		return;
	if (check_plan(&c, &err) < 0) {
		(void)life_end(a, CUPEL__VERDICT__VERDICT_ERRORED, false, NULL, "%s", err.text);
	} else {
		(void)store_run_resolved(d->store, a->run, plan->commit, plan->subject,
					 plan->author); /* sticks when it fails */
		insert_jobs(d, a->run, &c);
		(void)life_end(a, CUPEL__VERDICT__VERDICT_PASSED, false, NULL, "%zu job%s",
			       plan->n_jobs, plan->n_jobs == 1 ? "" : "s"); /* it was live */
	}
	free(c.needs);
}
