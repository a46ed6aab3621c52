/* fuzz_detect.c - a tree of a stranger's files: the first byte says which are there, the rest is
 * what each of them holds. There is one job, or a sentence. */
#include "runner/detect.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char *const files[] = {"Makefile",     "GNUmakefile",   "CMakeLists.txt",
				    "package.json", "tests/test.py", ".ci/run",
				    "go.mod",       ".cupel.yml"};

struct input {
	uint8_t there;
	const uint8_t *bytes;
	size_t length;
};

static int kind(void *context, const char *path, struct error *err)
{
	const struct input *in = context;

	(void)err;
	if (strcmp(path, "tests") == 0)
		return in->there & 16 ? DETECT_DIRECTORY : DETECT_NOTHING;
	for (size_t i = 0; i < 8; i++)
		if (strcmp(files[i], path) == 0)
			return in->there >> i & 1 ? DETECT_FILE : DETECT_NOTHING;
	return DETECT_NOTHING;
}

static int content(void *context, const char *path, size_t max, struct buffer *out,
		   struct error *err)
{
	const struct input *in = context;

	(void)path;
	(void)err;
	return in->length > max ? -EFBIG : buffer_append(out, in->bytes, in->length);
}

static int list(void *context, const char *path, bool (*entry)(void *with, const char *name),
		void *with, struct error *err)
{
	(void)context;
	(void)path;
	(void)err;
	(void)entry(with, "test.py");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input in = {length ? bytes[0] : 0, bytes + (length > 0), length - (length > 0)};
	const struct detect_tree tree = {kind, content, list, &in};
	owned(jobfile) *jobs = NULL;
	struct error err = {0};
	int rc = detect_jobs(&tree, &jobs, &err);

	if (rc < 0 ? jobs || !err.text[0] : !jobs || !jobs->count || !*jobs->jobs[0]->rule)
		abort();
	return 0;
}
