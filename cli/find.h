/* find.h - which run is meant: a number, `latest`, or the first digits of a commit. */
#pragma once

#include "cli/client.h"

/* -ENOENT when there is none, with the remedy. */
int find_run(struct client *c, const char *word, uint64_t *run, struct error *err);

/* Pure. The run's number; 0: the word isn't one. */
uint64_t find_number(const char *word);
/* Pure. Could it be the start of a commit id? */
bool find_is_commit(const char *word);
