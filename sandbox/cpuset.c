#include "sandbox/cpuset.h"

#include <errno.h>
#include <string.h>

static int take_number(const char **at, unsigned *out)
{
	unsigned value = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		value = value * 10 + (unsigned)(**at - '0');
		if (value >= CPUSET_PROCESSORS)
			return -ERANGE;
	}
	*out = value;
	return 0;
}

/* "3" or "0-1". */
static int take_range(const char **at, struct cpuset *out)
{
	unsigned first, last;
	int rc = take_number(at, &first);

	if (rc < 0)
		return rc;
	last = first;
	if (**at == '-') {
		(*at)++;
		rc = take_number(at, &last);
	}
	if (rc < 0 || last < first)
		return rc < 0 ? rc : -EINVAL;
	for (unsigned n = first; n <= last; n++)
		out->word[n / 64] |= (uint64_t)1 << n % 64;
	return 0;
}

int cpuset_parse(const char *list, struct cpuset *out)
{
	struct cpuset set = {{0}};

	for (;;) {
		int rc = take_range(&list, &set);

		if (rc < 0)
			return rc;
		if (*list != ',')
			break;
		list++;
	}
	if (*list && strcmp(list, "\n") != 0)
		return -EINVAL;
	*out = set;
	return 0;
}

bool cpuset_same(const char *a, const char *b)
{
	struct cpuset one, other;

	return cpuset_parse(a, &one) == 0 && cpuset_parse(b, &other) == 0 &&
	       memcmp(&one, &other, sizeof(one)) == 0;
}
