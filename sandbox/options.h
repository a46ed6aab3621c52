/* options.h - the command line of cupel-sandbox as a spec. Pure. */
#pragma once

#include "base/error.h"
#include "sandbox/sandbox.h"

#include <limits.h>

#define OPTIONS_BINDS_MAX 64
#define OPTIONS_ENV_MAX   1024

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK,
	OPTIONS_PROVE,
	OPTIONS_RESIDENT,
	OPTIONS_HELP,
	OPTIONS_VERSION
};

struct options {
	enum options_action action;
	struct sandbox_spec spec; /* worktree NULL: the current directory, unless `bare` */
	bool bare;
	bool by_launcher;
	const char *report; /* borrowed from argv */
	struct sandbox_bind binds[OPTIONS_BINDS_MAX];
	char *bind_text[OPTIONS_BINDS_MAX]; /* owned */
	const char *env[OPTIONS_ENV_MAX + 1];
	size_t env_count;
};

/* `argv` must outlive the options. -EINVAL and a sentence for what isn't understood. */
int options_parse(int argc, const char *const *argv, struct options *out, struct error *err);
void options_done(struct options *o);

extern const char options_help[];
