/* submounts.h - what is mounted below a directory that a job gets. A user's job sees it, too, on
 * whatever disk it is; root's gets the directory alone. */
#pragma once

#include "base/error.h"
#include "sandbox/source.h"

#include <stdbool.h>

/* Pure: does a line of `mountinfo` stand below `path`, which is written as there? `type`: of that
 * type of file system; `but`: not counting that place below `path`; NULL: all count. */
bool submounts_in(const char *mountinfo, const char *path, const char *type, const char *but);

/* -EOPNOTSUPP and a sentence when there are any below `what`, of which a limit can't hold then. */
int submounts_refuse(const struct source *s, const char *limit, const char *what,
		     struct error *err);

/* -EINVAL and a sentence when a /proc is among them. */
int submounts_refuse_proc(const struct source *s, const char *but, const char *what,
			  struct error *err);
