/* submounts.h - what is mounted below a directory that a job gets. A user's job sees it, too, on
 * whatever disk it is; root's gets the directory alone. */
#pragma once

#include "base/error.h"
#include "sandbox/source.h"

#include <stdbool.h>

/* Pure: does a line of `mountinfo` stand below `path`, which is written as there? */
bool submounts_in(const char *mountinfo, const char *path);

/* -EOPNOTSUPP and a sentence when there are any below `what`, of which a limit can't hold then. */
int submounts_refuse(const struct source *s, const char *limit, const char *what,
		     struct error *err);
