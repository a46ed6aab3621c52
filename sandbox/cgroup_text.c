#include "sandbox/cgroup_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end && end[1] ? end + 1 : NULL;
}

/* What follows "MAJ:MIN " in the line; NULL: it doesn't begin so. */
static const char *take_disk(const char *line, dev_t *out)
{
	unsigned major, minor;
	int used = 0;

	if (sscanf(line, "%9u:%9u %n", &major, &minor, &used) != 2 || !used)
		return NULL;
	*out = makedev(major, minor);
	return line + used;
}

bool cgroup_text_next_disk(const char **at, dev_t *out)
{
	while (*at) {
		const char *line = *at;

		*at = next_line(line);
		if (take_disk(line, out))
			return true;
	}
	return false;
}

static const char *line_of(const char *text, dev_t disk)
{
	for (const char *line = text; line; line = next_line(line)) {
		dev_t it;
		const char *rest = take_disk(line, &it);

		if (rest && it == disk)
			return rest;
	}
	return NULL;
}

static void append_rate(char *out, size_t size, const char *key, uint64_t value)
{
	size_t used = strlen(out);

	if (value)
		(void)snprintf(out + used, size - used, " %s=%" PRIu64, key, value);
	else
		(void)snprintf(out + used, size - used, " %s=max", key);
}

void cgroup_text_rates(dev_t disk, const struct io_rates *rates, char *out, size_t size)
{
	(void)snprintf(out, size, "%u:%u", major(disk), minor(disk));
	append_rate(out, size, "rbps", rates->read);
	append_rate(out, size, "wbps", rates->write);
	append_rate(out, size, "riops", rates->read_ops);
	append_rate(out, size, "wiops", rates->write_ops);
}

/* The kernel leaves out a disk without any limit. */
bool cgroup_text_has_rates(const char *text, dev_t disk, const struct io_rates *rates)
{
	const char *line = line_of(text, disk), *said;
	char wanted[160];
	size_t length;

	if (!line)
		return !rates->read && !rates->write && !rates->read_ops && !rates->write_ops;
	cgroup_text_rates(disk, rates, wanted, sizeof(wanted));
	said = strchr(wanted, ' ') + 1;
	length = strlen(said);
	return strncmp(line, said, length) == 0 && (line[length] == '\n' || !line[length]);
}

uint64_t cgroup_text_of_disk(const char *text, dev_t disk)
{
	const char *line = line_of(text, disk);

	return line ? strtoull(line, NULL, 10) : 0;
}

static uint64_t larger(const uint64_t sums[2])
{
	return sums[0] > sums[1] ? sums[0] : sums[1];
}

void cgroup_text_io(const char *text, bool (*passes_on)(dev_t disk), uint64_t *read,
		    uint64_t *written)
{
	uint64_t reads[2] = {0}, writes[2] = {0};

	for (const char *line = text; line; line = next_line(line)) {
		dev_t disk;
		const char *rest = take_disk(line, &disk);
		uint64_t r, w;

		if (!rest || sscanf(rest, "rbytes=%" SCNu64 " wbytes=%" SCNu64, &r, &w) != 2)
			continue;
		reads[passes_on(disk)] += r;
		writes[passes_on(disk)] += w;
	}
	*read = larger(reads);
	*written = larger(writes);
}

bool cgroup_text_service(const char *text, uint64_t *read)
{
	bool found = false;

	*read = 0;
	for (const char *line = text; line; line = next_line(line)) {
		dev_t disk;
		const char *rest = take_disk(line, &disk);

		if (!rest || strncmp(rest, "Read ", 5) != 0)
			continue;
		*read += strtoull(rest + 5, NULL, 10);
		found = true;
	}
	return found;
}

bool cgroup_text_pressure(const char *text, uint64_t *us)
{
	const char *total = strncmp(text, "some ", 5) == 0 ? strstr(text, " total=") : NULL;
	const char *end = strchr(text, '\n');

	if (!total || (end && total > end))
		return false;
	*us = strtoull(total + strlen(" total="), NULL, 10);
	return true;
}

uint64_t cgroup_text_weight(const char *text)
{
	static const char word[] = "default ";

	if (strncmp(text, word, strlen(word)) == 0)
		text += strlen(word);
	return *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

int cgroup_text_number(const char *text, uint64_t *out)
{
	char *end;

	if (strncmp(text, "max", 3) == 0) {
		*out = UINT64_MAX;
		return 0;
	}
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || end == text ? -EINVAL : 0;
}

int cgroup_text_key(const char *text, const char *key, uint64_t *out)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return cgroup_text_number(line + length + 1, out);
	}
	return -ENOENT;
}
