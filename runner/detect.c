#include "runner/detect.h"

#include "base/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A rule looks, and says 1 with the script filled in when it fits, 0 when it doesn't, -errno. */
struct finding {
	const char *rule;
	const char *script;
};
typedef int (*rule_look)(const struct detect_tree *tree, struct finding *out, struct error *err);

static int is_kind(const struct detect_tree *tree, const char *path, enum detect_kind kind,
		   struct error *err)
{
	int found = tree->kind(tree->context, path, err);

	return found < 0 ? found : found == (int)kind;
}

static int is_file(const struct detect_tree *tree, const char *path, struct error *err)
{
	int found = tree->kind(tree->context, path, err);

	return found < 0 ? found : found == DETECT_FILE || found == DETECT_EXECUTABLE;
}

/* 1: the file is there and was read; a file too big to look into is passed over. */
static int read_if_there(const struct detect_tree *tree, const char *path, struct buffer *out,
			 struct error *err)
{
	int rc = is_file(tree, path, err);

	if (rc <= 0)
		return rc;
	rc = tree->read(tree->context, path, DETECT_READ_MAX, out, err);
	if (rc == -EFBIG)
		return 0;
	return rc < 0 ? rc : 1;
}

/* --- scripts ------------------------------------------------------------ */

static int look_ci_run(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	static const struct {
		const char *path, *script;
	} known[] = {{".ci/run", "exec ./.ci/run"}, {"ci/run", "exec ./ci/run"}};

	for (size_t i = 0; i < 2; i++) {
		int rc = is_kind(tree, known[i].path, DETECT_EXECUTABLE, err);

		if (rc < 0)
			return rc;
		if (rc) {
			*out = (struct finding){known[i].path, known[i].script};
			return 1;
		}
	}
	return 0;
}

/* --- make --------------------------------------------------------------- */

/* Is `word` among the blank-separated words of [at, end)? */
static bool has_word(const char *at, const char *end, const char *word)
{
	size_t length = strlen(word);

	while (at < end) {
		const char *start;

		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		for (start = at; at < end && *at != ' ' && *at != '\t';)
			at++;
		if ((size_t)(at - start) == length && memcmp(start, word, length) == 0)
			return true;
	}
	return false;
}

/* The line [at, end) begins a rule for `target`: "target ...:" that is no assignment, no recipe. */
static bool defines(const char *at, const char *end, const char *target)
{
	const char *colon = memchr(at, ':', (size_t)(end - at));
	const char *behind;

	if (!colon || at == end || *at == '\t' || *at == '#' ||
	    memchr(at, '=', (size_t)(colon - at)))
		return false;
	for (behind = colon; behind < end && *behind == ':';)
		behind++;
	if (behind < end && *behind == '=')
		return false;
	return has_word(at, colon, target);
}

const char *detect_make_target(const char *text, size_t length, const char *const *targets)
{
	const char *end = text + length;

	for (; *targets; targets++) {
		for (const char *at = text; at < end;) {
			const char *stop = memchr(at, '\n', (size_t)(end - at));

			if (defines(at, stop ? stop : end, *targets))
				return *targets;
			at = stop ? stop + 1 : end;
		}
	}
	return NULL;
}

static int look_make(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	static const char *const names[] = {"GNUmakefile", "makefile",
					    "Makefile"}; /* make's order */
	static const char *const targets[] = {"check", "test", NULL};

	for (size_t i = 0; i < 3; i++) {
		owned_buffer text = {0};
		const char *target;
		int rc = read_if_there(tree, names[i], &text, err);

		if (rc < 0)
			return rc;
		if (!rc)
			continue;
		target = detect_make_target(text.data, text.length, targets);
		if (!target)
			return 0; /* make reads the first file only */
		*out = (struct finding){names[i], target == targets[0] ? "exec make check"
								       : "exec make test"};
		return 1;
	}
	return 0;
}

/* --- build systems ------------------------------------------------------ */

static int look_ctest(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	owned_buffer text = {0};
	int rc = read_if_there(tree, "CMakeLists.txt", &text, err);

	if (rc <= 0)
		return rc;
	if (!strcasestr(text.data, "enable_testing") && !strcasestr(text.data, "include(CTest)"))
		return 0;
	*out = (struct finding){"CMakeLists.txt",
				"cmake -S . -B .cupel-build\n"
				"cmake --build .cupel-build --parallel \"$(nproc)\"\n"
				"cd .cupel-build\n"
				"exec ctest --output-on-failure"};
	return 1;
}

static int look_meson(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	*out = (struct finding){"meson.build", "meson setup .cupel-build\n"
					       "exec meson test -C .cupel-build --print-errorlogs"};
	return is_file(tree, "meson.build", err);
}

static int look_cargo(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	*out = (struct finding){"Cargo.toml", "exec cargo test"};
	return is_file(tree, "Cargo.toml", err);
}

static int look_go(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	*out = (struct finding){"go.mod", "exec go test ./..."};
	return is_file(tree, "go.mod", err);
}

/* JSON is read with the reader of our own files: what that refuses isn't taken for a project. */
static int look_npm(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	owned(config) *root = NULL;
	owned_buffer text = {0};
	const struct config *scripts, *test;
	int rc = read_if_there(tree, "package.json", &text, err);

	if (rc <= 0)
		return rc;
	if (config_parse("package.json", text.data, text.length, &root, NULL) < 0 ||
	    root->kind != CONFIG_MAP)
		return 0;
	scripts = config_get(root, "scripts");
	test = scripts && scripts->kind == CONFIG_MAP ? config_get(scripts, "test") : NULL;
	if (!test || test->kind != CONFIG_SCALAR || strstr(test->text, "no test specified"))
		return 0; /* the text that `npm init` leaves there */
	*out = (struct finding){"package.json", "exec npm test"};
	return 1;
}

static bool is_python_test(void *with, const char *name)
{
	size_t length = strlen(name);
	bool *found = with;

	*found = strncmp(name, "test", 4) == 0 && length > 3 &&
		 strcmp(name + length - 3, ".py") == 0;
	return *found;
}

static int look_unittest(const struct detect_tree *tree, struct finding *out, struct error *err)
{
	bool found = false;
	int rc = is_kind(tree, "tests", DETECT_DIRECTORY, err);

	if (rc <= 0)
		return rc;
	rc = tree->list(tree->context, "tests", is_python_test, &found, err);
	if (rc < 0 || !found)
		return rc;
	rc = is_file(tree, "tests/__init__.py", err);
	if (rc < 0)
		return rc;
	*out = (struct finding){"tests/", rc ? "exec python3 -m unittest discover -v -s tests -t ."
					     : "exec python3 -m unittest discover -v tests"};
	return 1;
}

/* --- all ---------------------------------------------------------------- */

/* 1: there is a job file, and its jobs or its complaint are the answer (-EINVAL). */
static int look_jobfile(const struct detect_tree *tree, struct jobfile **out, struct error *err)
{
	owned_buffer text = {0};
	int kind = tree->kind(tree->context, JOBFILE_NAME, err);
	int rc;

	if (kind < 0 || kind == DETECT_NOTHING)
		return kind;
	if (kind != DETECT_FILE && kind != DETECT_EXECUTABLE)
		return error_say(err, EINVAL, "%s:1:1: it must be a plain file, no link, no folder",
				 JOBFILE_NAME);
	rc = tree->read(tree->context, JOBFILE_NAME, JOBFILE_MAX, &text, err);
	if (rc == -EFBIG)
		return error_say(err, EINVAL, "%s:1:1: more than %zu bytes", JOBFILE_NAME,
				 JOBFILE_MAX);
	if (rc < 0)
		return rc;
	rc = jobfile_parse(JOBFILE_NAME, text.data ? text.data : "", text.length, out, err);
	return rc < 0 ? rc : 1;
}

int detect_jobs(const struct detect_tree *tree, struct jobfile **out, struct error *err)
{
	static const rule_look rules[] = {look_ci_run, look_make, look_ctest, look_meson,
					  look_cargo,  look_go,   look_npm,   look_unittest};
	int rc = look_jobfile(tree, out, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct finding found = {0};

		rc = rules[i](tree, &found, err);
		if (rc < 0)
			return rc;
		if (rc)
			return jobfile_single(found.rule, found.script, out, err);
	}
	return error_say(
		err, ENOENT,
		"there is nothing to test: add a " JOBFILE_NAME ", an executable .ci/run or "
		"ci/run, a Makefile with 'check' or 'test', a CTest, Meson, Cargo, Go or npm "
		"project, or tests/test*.py");
}
