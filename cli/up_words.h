/* up_words.h - the options of `cupel up`, and the command lines of its daemons that come of them.
 */
#pragma once

#include "cli/cli.h"

#include <limits.h>

#define UP_WORDS_MAX (OPTION_WORDS_MAX + 32)

/* Words of one daemon, NULL at the end; borrowed, or in `owned`. */
struct up_argv {
	char *at[UP_WORDS_MAX];
	size_t count;
};

struct up_words {
	/* as given */
	const char *given_state, *name, *slots, *cpus, *memory, *tasks, *labels, *work, *poll;
	const char *job_cpus, *job_memory, *job_tasks, *job_wall;
	bool build_head, allow_network_host, verbose;
	/* as made of it */
	char state[PATH_MAX], address[PATH_MAX + 64];
	char folders[3][PATH_MAX + 16]; /* of dispatcher, runner, observer */
	bool default_state;
	struct up_argv dispatcher, runner, observer;
	char *repositories[OPTION_WORDS_MAX]; /* owned; NAME=PLACE */
	size_t repositories_count;
};

#define UP_OPTIONS 16
extern const struct option_row up_option_rows[UP_OPTIONS];

/* Fills in what is made. Repositories that aren't there are told at once. */
int up_words_make(const struct cli *cli, struct up_words *w, struct error *err);
void up_words_done(struct up_words *w);
