#include "dispatcher/inside.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* A plan comes from a runner, which read a stranger's job file. What would leave a run waiting for
 * ever is looked for again here: names twice, needs that aren't there, needs in a circle. */

static size_t place_of(const Cupel__Plan *plan, const char *name)
{
	size_t i = 0;

	while (i < plan->n_jobs && strcmp(plan->jobs[i]->name, name) != 0)
		i++;
	return i;
}

static int check_names(const Cupel__Plan *plan, struct error *err)
{
	if (plan->n_jobs == 0)
		return error_say(err, EINVAL, "there is nothing to test in this commit");
	for (size_t i = 0; i < plan->n_jobs; i++) {
		const Cupel__JobSpec *job = plan->jobs[i];

		if (place_of(plan, job->name) != i)
			return error_say(err, EINVAL, "there are two jobs named %s", job->name);
		for (size_t n = 0; n < job->n_needs; n++)
			if (place_of(plan, job->needs[n]) == plan->n_jobs)
				return error_say(err, EINVAL, "job %s needs %s, which is not there",
						 job->name, job->needs[n]);
	}
	return 0;
}

/* Takes away, round by round, the jobs whose needs are all gone; what stays goes in a circle. */
static int check_circles(const Cupel__Plan *plan, struct error *err)
{
	bool gone[MESSAGE_JOBS_MAX] = {0};
	size_t left = plan->n_jobs, before;

	do {
		before = left;
		for (size_t i = 0; i < plan->n_jobs; i++) {
			size_t n = 0;

			while (n < plan->jobs[i]->n_needs && gone[place_of(plan, plan->jobs[i]->needs[n])])
				n++;
			if (gone[i] || n < plan->jobs[i]->n_needs)
				continue;
			gone[i] = true;
			left--;
		}
	} while (left && left < before);
	for (size_t i = 0; left && i < plan->n_jobs; i++)
		if (!gone[i])
			return error_say(err, EINVAL, "job %s needs itself, by way of others",
					 plan->jobs[i]->name);
	return 0;
}

static int check_plan(const Cupel__Plan *plan, struct error *err)
{
	int rc;

	if (plan->n_jobs > MESSAGE_JOBS_MAX)
		return error_say(err, EINVAL, "it has %zu jobs, at most %d are taken", plan->n_jobs,
				 MESSAGE_JOBS_MAX);
	rc = check_names(plan, err);
	return rc < 0 ? rc : check_circles(plan, err);
}

static void insert_jobs(struct dispatcher *d, uint64_t run, const Cupel__Plan *plan)
{
	uint64_t ids[MESSAGE_JOBS_MAX];

	for (size_t i = 0; i < plan->n_jobs; i++) {
		struct job_new job = {.run = run, .name = plan->jobs[i]->name, .spec = plan->jobs[i]};

		job.kind = CUPEL__KIND__KIND_JOB;
		job.state = plan->jobs[i]->n_needs ? CUPEL__STATE__STATE_HELD
						   : CUPEL__STATE__STATE_QUEUED;
		if (store_job_add(d->store, &job, &ids[i]) < 0)
			return; /* sticks: the commit fails and the runner sends the plan again */
	}
	for (size_t i = 0; i < plan->n_jobs; i++) {
		const Cupel__JobSpec *spec = plan->jobs[i];

		for (size_t n = 0; n < spec->n_needs; n++)
			(void)store_job_needs(d->store, ids[i], ids[place_of(plan, spec->needs[n])]);
		if (!spec->n_needs && queue_put(&d->queue, ids[i], run, spec, false, NULL) < 0)
			life_enqueue(d, ids[i], run, CUPEL__KIND__KIND_JOB, false, "");
	}
	(void)store_run_open(d->store, run, (int)plan->n_jobs); /* sticks when it fails */
}

void life_plan(struct attempt *a, const Cupel__Plan *plan)
{
	struct dispatcher *d = a->dispatcher;
	struct error err = {0};

	if (a->over)
		return;
	if (check_plan(plan, &err) < 0) {
		(void)life_end(a, CUPEL__VERDICT__VERDICT_ERRORED, false, NULL, "%s", err.text);
		return;
	}
	(void)store_run_resolved(d->store, a->run, plan->commit, plan->subject,
				 plan->author); /* sticks when it fails */
	insert_jobs(d, a->run, plan);
	(void)life_end(a, CUPEL__VERDICT__VERDICT_PASSED, false, NULL, "%zu job%s", plan->n_jobs,
		       plan->n_jobs == 1 ? "" : "s"); /* it was live */
}
