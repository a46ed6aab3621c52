/* settings.h - runner.yml and the command line, which wins. */
#pragma once

#include "base/config.h"
#include "runner/runner.h"

#define SETTINGS_FILE "/etc/cupel/runner.yml"

struct settings {
	struct runner_options options; /* its strings are borrowed from argv, `file` and below */
	const char *config;            /* --config, NULL: SETTINGS_FILE if it is there */
	const char *dispatcher, *token;
	struct config *file; /* NULL: none */
	struct link_token secret;
	char name[256], machine[66];
	char *labels, *repositories; /* the words of these options */
	int ready_fd;                /* -1: none */
	bool help, version;
};

/* -EINVAL for wrong usage, with a sentence; others for a file that can't be read. settings_done()
 * in each case. */
int settings_read(int argc, char **argv, struct settings *out, struct error *err);
void settings_done(struct settings *s);

/* Pure: one file's keys into `out`, each as strict as on the command line. */
int settings_from_file(const char *name, const struct config *file, struct settings *out,
		       struct error *err);
