/* settings.h - dispatcher.yml and the command line, which wins. */
#pragma once

#include "base/config.h"
#include "dispatcher/dispatcher.h"

#define SETTINGS_FILE "/etc/cupel/dispatcher.yml"

struct settings {
	struct dispatcher_options options; /* its strings are borrowed from argv and `file` */
	struct config *file;               /* NULL: none */
	const char *config;                /* --config, NULL: SETTINGS_FILE if it is there */
	int ready_fd;                      /* -1: none */
	bool help, version;
};

/* -EINVAL for wrong usage, with a sentence; -ENOENT and others for a file that can't be read. */
int settings_read(int argc, char **argv, struct settings *out, struct error *err);
void settings_done(struct settings *s);

/* Pure: takes over what the file says. */
int settings_from_file(const char *name, const struct config *file, struct dispatcher_options *out,
		       struct error *err);
