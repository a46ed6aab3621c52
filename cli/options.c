#include "cli/options.h"

#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_MAX  2  /* slips of the finger that still suggest a name */
#define NAME_MAX_ 32 /* bytes of an option's or command's name */

/* Insertions, deletions and changes between two short words (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_ + 1], n = strlen(b);

	if (n > NAME_MAX_ || strlen(a) > NAME_MAX_)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < best ? change : best;
		}
	}
	return row[n];
}

const char *options_nearest(const char *word, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(word, names[i]);
		size_t far =
			2 * d + (*word != *names[i]); /* the first letter is seldom the wrong one */

		if (d <= NEAR_MAX && d < strlen(names[i]) && far < least) {
			least = far;
			nearest = names[i];
		}
	}
	return nearest;
}

static int unknown(const struct option_set *sets, size_t sets_count, const char *word,
		   size_t length, struct error *err)
{
	const char *names[64], *nearest;
	char name[NAME_MAX_ + 1] = "";
	size_t count = 0;

	for (size_t s = 0; s < sets_count; s++)
		for (size_t i = 0; i < sets[s].count && count < 64; i++)
			names[count++] = sets[s].rows[i].name;
	if (length < sizeof(name))
		memcpy(name, word, length);
	nearest = options_nearest(name, names, count);
	if (nearest)
		return error_say(err, EINVAL, "there is no option --%.*s; is it --%s?", (int)length,
				 word, nearest);
	return error_say(err, EINVAL, "there is no option --%.*s", (int)length, word);
}

static const struct option_row *find_long(const struct option_set *sets, size_t sets_count,
					  const char *word, size_t length, void **values)
{
	for (size_t s = 0; s < sets_count; s++)
		for (size_t i = 0; i < sets[s].count; i++) {
			const struct option_row *row = &sets[s].rows[i];

			if (strlen(row->name) == length && memcmp(row->name, word, length) == 0) {
				*values = sets[s].values;
				return row;
			}
		}
	return NULL;
}

static const struct option_row *find_short(const struct option_set *sets, size_t sets_count,
					   char letter, void **values)
{
	for (size_t s = 0; s < sets_count; s++)
		for (size_t i = 0; i < sets[s].count; i++)
			if (sets[s].rows[i].letter == letter) {
				*values = sets[s].values;
				return &sets[s].rows[i];
			}
	return NULL;
}

static int parse_count(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return *end ? -EINVAL : -errno;
}

static int complain(const struct option_row *row, const char *text, int rc, struct error *err)
{
	static const char *const wanted[] = {
		[OPTION_COUNT] = "a whole number",
		[OPTION_SIZE] = "a size like 512M",
		[OPTION_TIME] = "a time like 90s",
		[OPTION_MILLI] = "a number like 1.5",
	};

	if (rc == -ERANGE)
		return error_say(err, EINVAL, "--%s %s is too large", row->name, text);
	return error_say(err, EINVAL, "--%s wants %s, not \"%s\"", row->name, wanted[row->kind],
			 text);
}

static int set_value(const struct option_row *row, void *values, const char *text,
		     struct error *err)
{
	void *at = (char *)values + row->offset;
	int rc = 0;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		break;
	case OPTION_TEXT:
		*(const char **)at = text;
		break;
	case OPTION_COUNT:
		rc = parse_count(text, at);
		break;
	case OPTION_SIZE:
		rc = units_parse_size(text, at);
		break;
	case OPTION_TIME:
		rc = units_parse_time(text, at);
		break;
	case OPTION_MILLI:
		rc = units_parse_milli(text, at);
		break;
	}
	return rc < 0 ? complain(row, text, rc, err) : 0;
}

/* "--name", "--name=value", "--name value"; *at moves over a value that is a word of its own. */
static int parse_long(const struct option_set *sets, size_t sets_count, int argc, char *const *argv,
		      int *at, struct error *err)
{
	const char *word = argv[*at] + 2, *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	void *values = NULL;
	const struct option_row *row = find_long(sets, sets_count, word, length, &values);

	if (!row)
		return unknown(sets, sets_count, word, length, err);
	if (row->kind == OPTION_FLAG && equals)
		return error_say(err, EINVAL, "--%s takes no value", row->name);
	if (row->kind == OPTION_FLAG)
		return set_value(row, values, NULL, err);
	if (equals)
		return set_value(row, values, equals + 1, err);
	if (*at + 1 >= argc)
		return error_say(err, EINVAL, "--%s wants a value: --%s %s", row->name, row->name,
				 row->value);
	return set_value(row, values, argv[++*at], err);
}

/* "-f", "-fj", "-n5", "-n 5". */
static int parse_short(const struct option_set *sets, size_t sets_count, int argc,
		       char *const *argv, int *at, struct error *err)
{
	for (const char *letter = argv[*at] + 1; *letter; letter++) {
		void *values = NULL;
		const struct option_row *row = find_short(sets, sets_count, *letter, &values);
		int rc;

		if (!row)
			return error_say(err, EINVAL, "there is no option -%c", *letter);
		if (row->kind != OPTION_FLAG) {
			if (letter[1])
				return set_value(row, values, letter + 1, err);
			if (*at + 1 >= argc)
				return error_say(err, EINVAL, "-%c wants a value: --%s %s", *letter,
						 row->name, row->value);
			return set_value(row, values, argv[++*at], err);
		}
		rc = set_value(row, values, NULL, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_word(struct option_words *words, const char *word, struct error *err)
{
	if (words->count == OPTION_WORDS_MAX)
		return error_say(err, EINVAL, "more than %d words", OPTION_WORDS_MAX);
	words->at[words->count++] = word;
	return 0;
}

int options_parse(const struct option_set *sets, size_t sets_count, int argc, char *const *argv,
		  struct option_words *words, struct error *err)
{
	bool options = true;

	words->count = 0;
	for (int at = 0; at < argc; at++) {
		const char *word = argv[at];
		int rc;

		if (!options || word[0] != '-' || !word[1]) {
			rc = add_word(words, word, err);
		} else if (word[1] != '-') {
			rc = parse_short(sets, sets_count, argc, argv, &at, err);
		} else if (word[2]) {
			rc = parse_long(sets, sets_count, argc, argv, &at, err);
		} else {
			options = false;
			rc = 0;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}
