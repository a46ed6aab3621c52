/* The command line, the spec that comes out of it, and the files of others that are read: words are
 * separated by newlines. */
#include "sandbox/cgroup_disk.h"
#include "sandbox/submounts.h"
#include "sandbox/cgroup_place.h"
#include "sandbox/cgroup_text.h"
#include "sandbox/cpuset.h"
#include "sandbox/ids.h"
#include "sandbox/oom_log.h"
#include "sandbox/options.h"
#include "sandbox/spec.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_options(char *text)
{
	const char *words[WORDS_MAX + 1] = {"cupel-sandbox"};
	struct options options;
	struct error err;
	char *rest = NULL;
	int count = 1;

	for (char *word = strtok_r(text, "\n", &rest); word && count < WORDS_MAX;
	     word = strtok_r(NULL, "\n", &rest))
		words[count++] = word;
	if (options_parse(count, words, &options, &err) < 0)
		return;
	(void)spec_check(&options.spec, &err); /* any answer will do, as long as there is one */
	options_done(&options);
}

static bool odd(dev_t disk)
{
	return disk & 1;
}

static void fuzz_kernel(const char *text)
{
	const struct io_rates rates = {.read = 1};
	struct cpuset set;
	uint64_t number;
	const char *at = text;
	dev_t disk = 0;

	(void)cpuset_parse(text, &set);
	while (cgroup_text_next_disk(&at, &disk)) {
		(void)cgroup_text_has_rates(text, disk, &rates);
		(void)cgroup_text_of_disk(text, disk);
		(void)disk_cost_is_on(text, disk);
	}
	cgroup_text_io(text, odd, &number, &number);
	(void)cgroup_text_service(text, &number);
	(void)cgroup_text_pressure(text, &number);
	(void)cgroup_text_weight(text);
	(void)submounts_in(text, "/a", "proc", "proc");
}

static void fuzz_files(const char *text)
{
	struct places places;
	struct id_range range;
	struct oom_kill kill;

	places_parse(text, text, &places);
	(void)ids_find_subordinate(text, "job", 1000, 1001, &range);
	(void)oom_log_parse(text, "job-1", &kill);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	fuzz_files(text);
	fuzz_kernel(text);
	fuzz_options(text);
	free(text);
	return 0;
}
