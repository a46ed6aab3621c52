#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Nine digits behind the point say more than any unit here can hold, and times the largest unit
 * they still fit into 64 bits. */
#define FRACTION_DIGITS_MAX 9

struct number {
	uint64_t whole;
	uint64_t fraction; /* over `scale` */
	uint64_t scale;
	bool fractional;
};

struct unit {
	const char *name;
	uint64_t worth;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int parse_fraction(const char **at, struct number *n)
{
	int digits = 0;

	if (!is_digit(**at))
		return -EINVAL;
	n->fractional = true;
	for (; is_digit(**at); (*at)++) {
		if (++digits > FRACTION_DIGITS_MAX)
			return -EINVAL;
		n->fraction = n->fraction * 10 + (uint64_t)(**at - '0');
		n->scale *= 10;
	}
	return 0;
}

/* Digits, then perhaps a point and digits; `at` moves behind them. */
static int parse_number(const char **at, struct number *out)
{
	struct number n = {.scale = 1};

	if (!is_digit(**at))
		return -EINVAL;
	for (; is_digit(**at); (*at)++)
		if (__builtin_mul_overflow(n.whole, 10, &n.whole) ||
		    __builtin_add_overflow(n.whole, (uint64_t)(**at - '0'), &n.whole))
			return -ERANGE;
	if (**at == '.') {
		int rc;

		(*at)++;
		rc = parse_fraction(at, &n);
		if (rc < 0)
			return rc;
	}
	*out = n;
	return 0;
}

/* Adds `n` units to `total`; what isn't a whole number of the smallest unit is refused. */
static int add(uint64_t *total, const struct number *n, uint64_t worth)
{
	uint64_t value;

	if (n->fraction * worth % n->scale != 0)
		return -EINVAL;
	if (__builtin_mul_overflow(n->whole, worth, &value) ||
	    __builtin_add_overflow(value, n->fraction * worth / n->scale, &value) ||
	    __builtin_add_overflow(*total, value, total))
		return -ERANGE;
	return 0;
}

int units_parse_size(const char *text, uint64_t *out)
{
	static const char letters[] = "KMGT";
	const char *letter, *at = text;
	struct number n;
	uint64_t bytes = 0, worth = 1;
	int rc = parse_number(&at, &n);

	if (rc < 0)
		return rc;
	letter = *at ? strchr(letters, *at) : NULL;
	if (letter) {
		worth = UINT64_C(1) << (10 * (letter - letters + 1));
		at++;
	}
	if (n.fractional || (*at && strcmp(at, "B") != 0 && (!letter || strcmp(at, "iB") != 0)))
		return -EINVAL;
	rc = add(&bytes, &n, worth);
	if (rc == 0)
		*out = bytes;
	return rc;
}

/* From the largest on; "ms" stands before "m", which it begins with. */
static const struct unit times[] = {
	{"d", 86400000}, {"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000},
};

static const struct unit *time_unit(const char **at)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		size_t length = strlen(times[i].name);

		if (strncmp(*at, times[i].name, length) == 0) {
			*at += length;
			return &times[i];
		}
	}
	return NULL;
}

int units_parse_time(const char *text, uint64_t *out)
{
	uint64_t total = 0, last = UINT64_MAX;
	const char *at = text;

	do {
		const struct unit *unit;
		struct number n;
		bool first = at == text;
		int rc = parse_number(&at, &n);

		if (rc < 0)
			return rc;
		unit = time_unit(&at);
		if (!unit && (!first || *at)) /* a bare number is seconds, and stands alone */
			return -EINVAL;
		if (unit && unit->worth >= last)
			return -EINVAL;
		last = unit ? unit->worth : 1000;
		rc = add(&total, &n, last);
		if (rc < 0)
			return rc;
	} while (*at);
	*out = total;
	return 0;
}

int units_parse_milli(const char *text, uint64_t *out)
{
	const char *at = text;
	struct number n;
	uint64_t total = 0;
	int rc = parse_number(&at, &n);

	if (rc < 0)
		return rc;
	if (*at)
		return -EINVAL;
	rc = add(&total, &n, 1000);
	if (rc == 0)
		*out = total;
	return rc;
}

/* Three digits of value / worth, which is at least one and under 1024: 1.50, 12.3, 999. */
static void format_three(uint64_t value, uint64_t worth, const char *unit, char *out, size_t size)
{
	double units = (double)value / (double)worth;
	int decimals = units < 9.995 ? 2 : units < 99.95 ? 1 : 0;

	(void)snprintf(out, size, "%.*f%s", decimals, units, unit);
}

void units_format_size(uint64_t bytes, char *out, size_t size)
{
	static const char *const names[] = {"", "K", "M", "G", "T"};
	size_t i = 0;
	uint64_t worth;

	while (i < 4 && bytes >> (10 * (i + 1)))
		i++;
	worth = UINT64_C(1) << (10 * i);
	if (bytes % worth == 0)
		(void)snprintf(out, size, "%" PRIu64 "%s", bytes / worth, names[i]);
	else
		format_three(bytes, worth, names[i], out, size);
}

/* 1h30m rather than 90m, yet 90s: people think in seconds up to two minutes. */
void units_format_time(uint64_t ms, char *out, size_t size)
{
	static const struct unit parts[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
	char text[64] = "";
	size_t used = 0;
	uint64_t seconds = ms / 1000;

	if (ms > 0 && ms < 1000) {
		(void)snprintf(out, size, "%" PRIu64 "ms", ms);
		return;
	}
	if (seconds < 120) {
		if (ms % 1000 == 0)
			(void)snprintf(out, size, "%" PRIu64 "s", seconds);
		else
			format_three(ms, 1000, "s", out, size);
		return;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uint64_t count = seconds / parts[i].worth;

		seconds %= parts[i].worth;
		if (count)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%" PRIu64 "%s",
						 count, parts[i].name);
	}
	(void)snprintf(out, size, "%s", text);
}
