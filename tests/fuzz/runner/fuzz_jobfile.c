/* fuzz_jobfile.c - whatever a repository's job file holds: a complaint with its place, or jobs that
 * keep every promise which the dispatcher relies on. */
#include "runner/jobfile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_there(const struct jobfile *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->jobs[i]->name, name) == 0)
			return true;
	return false;
}

static void check_job(const struct jobfile *f, const Cupel__JobSpec *spec)
{
	require(*spec->name && strlen(spec->name) <= MESSAGE_NAME_MAX);
	require(*spec->run && strlen(spec->run) <= MESSAGE_SCRIPT_MAX);
	require(spec->limits && *spec->network && *spec->profile && *spec->rule);
	for (const char *at = spec->name; *at; at++)
		require((unsigned char)*at >= ' ');
	for (size_t i = 0; i < spec->n_needs; i++)
		require(is_there(f, spec->needs[i]) && strcmp(spec->needs[i], spec->name) != 0);
	for (size_t i = 0; i < spec->n_env; i++)
		require(*spec->env[i]->name && !strchr(spec->env[i]->name, '='));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	owned(jobfile) *f = NULL;
	struct error err = {0};

	if (jobfile_parse("f", bytes, length, &f, &err) < 0) {
		require(!f && strncmp(err.text, "f:", 2) == 0);
		return 0;
	}
	require(f->count > 0 && f->count <= JOBFILE_JOBS_MAX);
	for (size_t i = 0; i < f->count; i++)
		check_job(f, f->jobs[i]);
	return 0;
}
