/* jobkeys.h - the keys of one job in `.cupel.yml`, one reader each. Pure; jobfile.c is the caller.
 */
#pragma once

#include "base/config.h"
#include "proto/message.h"

/* A spec whose every string is its own, so that free_unpacked() may free it. NULL: out of memory.
 */
Cupel__JobSpec *jobkeys_new_spec(void);
Cupel__JobSpec *jobkeys_copy(const Cupel__JobSpec *spec);

/* The job's name is the key of `job`. */
int jobkeys_name(const char *file, const struct config *job, Cupel__JobSpec *spec,
		 struct error *err);

/* One member of the job's map; `matrix` and `needs` are passed over, they concern other jobs. */
int jobkeys_read(const char *file, const struct config *key, Cupel__JobSpec *spec,
		 struct error *err);

/* Sets or replaces a variable. -ENOMEM. */
int jobkeys_set_env(Cupel__JobSpec *spec, const char *name, const char *value);

/* A scalar without control characters, not empty; `what` names it in the complaint. */
int jobkeys_check_plain(const char *file, const struct config *c, const char *what,
			struct error *err);

/* The key of `c` can be a variable's name. */
int jobkeys_check_variable(const char *file, const struct config *c, struct error *err);
