/* plan.h - from a commit to its jobs: the job file or a detection rule, read from the objects. */
#pragma once

#include "runner/git.h"
#include "runner/jobfile.h"

/* Errors are those of detect_jobs(), and -EIO where the repository can't be read. */
int plan_jobs(struct git *g, const struct git_commit *commit, struct jobfile **out,
	      struct error *err);

/* The answer to the dispatcher; `jobs` and `commit` are borrowed by it.
 * -EFBIG when it doesn't fit into a frame. */
int plan_message(const Cupel__Attempt *attempt, const struct git_commit *commit,
		 const struct jobfile *jobs, Cupel__Plan *out, struct error *err);
