/* jobfile.h - `.cupel.yml`: what a repository asks for. Pure: bytes in, jobs out; strict.
 *
 * The jobs come out as they travel (Cupel__JobSpec): matrices expanded, `needs` as exact names.
 * Every complaint is "FILE:LINE:COLUMN: SENTENCE". docs/jobfile.md is the reference. */
#pragma once

#include "base/error.h"
#include "base/owned.h"
#include "proto/message.h"

#include <stddef.h>

#define JOBFILE_NAME      ".cupel.yml"
#define JOBFILE_MAX       ((size_t)256 << 10) /* bytes */
#define JOBFILE_JOBS_MAX  256                 /* of one run, matrices expanded */
#define JOBFILE_LIST_MAX  64 /* members of a list of labels, needs, matrix values */
#define JOBFILE_ENV_MAX   256
#define JOBFILE_VALUE_MAX 32768 /* bytes of one variable's value */
#define JOBFILE_RETRY_MAX 10

struct jobfile {
	Cupel__JobSpec **jobs; /* each freed with cupel__job_spec__free_unpacked() */
	size_t count;
};

/* -EINVAL and the complaint; `out` is then untouched. */
int jobfile_parse(const char *name, const void *bytes, size_t length, struct jobfile **out,
		  struct error *err);

/* A file of one job named "test", for the detection rules. */
int jobfile_single(const char *rule, const char *script, struct jobfile **out, struct error *err);

void jobfile_free(struct jobfile *f);
OWNED(jobfile)
