/* local_run.h - running jobs by hand: same plan, same sandbox, no server. */
#pragma once

#include "runner/jobfile.h"

#include <stdio.h>

struct local_options {
	bool json;
	const char *job;      /* NULL: all */
	const char *revision; /* NULL: the working directory as it is */
	const char *path;
	bool network_host; /* jobs may ask for the host's network */
};

/* The exit status; `err` is set when there was more to say than verdicts. */
int local_run_jobs(const struct local_options *o, struct error *err);

/* The jobs of a directory, or of a job file. */
int local_jobs(const char *path, struct jobfile **out, struct error *err);

void local_json_string(const char *text, FILE *out);
