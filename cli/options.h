/* options.h - the command line's words, by table: options and the words between them in any order,
 * `--` ends the options. Pure. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG,  /* bool */
	OPTION_TEXT,  /* const char * */
	OPTION_COUNT, /* uint64_t */
	OPTION_SIZE,  /* uint64_t: 512M */
	OPTION_TIME,  /* uint64_t, milliseconds: 90s */
	OPTION_MILLI, /* uint64_t, thousandths: 1.5 */
};

struct option_row {
	const char *name; /* without the dashes */
	char letter;      /* of the short form, or 0 */
	enum option_kind kind;
	const char *value; /* what help calls it: "N"; NULL for a flag */
	const char *help;
	size_t offset; /* in the struct that the caller fills */
};

/* Rows and the struct that they fill. */
struct option_set {
	const struct option_row *rows;
	size_t count;
	void *values;
};

#define OPTION_WORDS_MAX 1024 /* as many repositories as `cupel up` may be told to watch */

struct option_words {
	const char *at[OPTION_WORDS_MAX]; /* borrowed from argv */
	size_t count;
};

/* -EINVAL and a sentence for what isn't right. */
int options_parse(const struct option_set *sets, size_t sets_count, int argc, char *const *argv,
		  struct option_words *words, struct error *err);

/* The nearest of `names` to a word that is none of them, NULL when none is near. */
const char *options_nearest(const char *word, const char *const *names, size_t count);
