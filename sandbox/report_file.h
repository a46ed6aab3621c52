/* report_file.h - where a report goes: put in place whole when the job is over, so that neither the
 * job nor what an earlier one left there has a say in what is read. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

#include <limits.h>
#include <stddef.h>

struct report_file {
	int dir;    /* the file is put there, under `name` */
	int direct; /* or a device, pipe or descriptor of the caller's, written as it is */
	char name[NAME_MAX + 1];
};

#define REPORT_FILE_NONE ((struct report_file){.dir = -1, .direct = -1})

/* Finds the place, and removes an older report. Refused: paths through symbolic links, which a job
 * could have put there; directories inside what the job of `spec` may write, which it could put
 * others in the place of (the top of the worktree stays what it is); and in that top whatever isn't
 * a file. */
int report_file_open(const char *path, const struct sandbox_spec *spec, struct report_file *out,
		     struct error *err);

/* A directory that the job has made there is moved out of the way. */
int report_file_write(struct report_file *f, const char *bytes, size_t length, struct error *err);
void report_file_done(struct report_file *f);
