#include "runner/local.h"

#include "base/fd.h"
#include "runner/disk.h"
#include "runner/local_run.h"

#include <assert.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_USAGE 64 /* sysexits(3): never one of the verdicts */

static const char lint_usage[] = "usage: cupel lint [--json] [DIR|FILE]\n"
				 "Says what would run, and by which rule.\n";
static const char run_usage[] =
	"usage: cupel run [--json] [--job NAME] [--rev REVISION] [--allow-network-host] [DIR]\n"
	"Runs the jobs of a working directory as it is, or of a commit, in the sandbox; no server.\n"
	"Exit status: 0 passed, 1 failed, 2 errored, 3 timed_out, 4 killed, 5 cancelled;\n"
	"64 wrong usage, 66 no such job.\n";

/* --- options
 * -------------------------------------------------------------------------------------- */

/* 0; or 1 when it has been dealt with, `*status` the exit status. */
static int read_options(int argc, char **argv, const char *usage, struct local_options *out,
			int *status)
{
	static const struct option known[] = {{"json", no_argument, NULL, 'j'},
					      {"job", required_argument, NULL, 'n'},
					      {"rev", required_argument, NULL, 'r'},
					      {"allow-network-host", no_argument, NULL, 'w'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+", known, NULL)) >= 0) {
		switch (option) {
		case 'j':
			out->json = true;
			break;
		case 'n':
			out->job = optarg;
			break;
		case 'r':
			out->revision = optarg;
			break;
		case 'w':
			out->network_host = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			*status = 0;
			return 1;
		default:
			(void)fprintf(stderr,
				      "%s: there is no such option, or it needs a value\n%s",
				      argv[optind - 1], usage);
			*status = EXIT_USAGE;
			return 1;
		}
	}
	out->path = optind < argc ? argv[optind] : ".";
	if (optind + 1 < argc) {
		(void)fprintf(stderr, "%s: one directory at a time\n", argv[optind + 1]);
		*status = EXIT_USAGE;
		return 1;
	}
	return 0;
}

/* --- what would run
 * ------------------------------------------------------------------------------- */

static int read_one(const char *path, struct jobfile **out, struct error *err)
{
	owned_buffer text = {0};
	int rc = fd_read_file(AT_FDCWD, path, JOBFILE_MAX, &text);

	if (rc < 0)
		return error_set(err, -rc, "read %s", path);
	return jobfile_parse(path, text.data ? text.data : "", text.length, out, err);
}

int local_jobs(const char *path, struct jobfile **out, struct error *err)
{
	owned_fd dir = -1;
	struct detect_tree tree;
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(err, errno, "look at %s", path);
	if (!S_ISDIR(st.st_mode))
		return read_one(path, out, err);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, errno, "open %s", path);
	tree = disk_tree(&dir);
	return detect_jobs(&tree, out, err);
}

void local_json_string(const char *text, FILE *out)
{
	(void)fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			(void)fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ' || *text == 0x7f)
			(void)fprintf(out, "\\u%04x", (unsigned)*text);
		else
			(void)fputc(*text, out);
	}
	(void)fputc('"', out);
}

static void print_json_list(const char *key, char *const *words, size_t count)
{
	(void)printf(",\"%s\":[", key);
	for (size_t i = 0; i < count; i++) {
		if (i)
			(void)putchar(',');
		local_json_string(words[i], stdout);
	}
	(void)putchar(']');
}

static void print_json(const struct jobfile *jobs)
{
	(void)fputs("{\"rule\":", stdout);
	local_json_string(jobs->jobs[0]->rule, stdout);
	(void)fputs(",\"jobs\":[", stdout);
	for (size_t i = 0; i < jobs->count; i++) {
		const Cupel__JobSpec *spec = jobs->jobs[i];

		(void)fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
		local_json_string(spec->name, stdout);
		(void)fputs(",\"run\":", stdout);
		local_json_string(spec->run, stdout);
		print_json_list("needs", spec->needs, spec->n_needs);
		print_json_list("labels", spec->labels, spec->n_labels);
		(void)putchar('}');
	}
	(void)puts("]}");
}

static void print_script(const char *script)
{
	while (*script) {
		size_t length = strcspn(script, "\n");

		(void)printf("    %.*s\n", (int)length, script);
		script += length + (script[length] == '\n');
	}
}

static void print_plain(const struct jobfile *jobs)
{
	(void)printf("rule: %s; %zu job%s\n", jobs->jobs[0]->rule, jobs->count,
		     jobs->count == 1 ? "" : "s");
	for (size_t i = 0; i < jobs->count; i++) {
		const Cupel__JobSpec *spec = jobs->jobs[i];

		(void)printf("%s", spec->name);
		for (size_t n = 0; n < spec->n_needs; n++)
			(void)printf("%s%s", n ? ", " : " after ", spec->needs[n]);
		(void)puts(":");
		print_script(spec->run);
	}
}

int local_lint(int argc, char **argv)
{
	struct local_options options = {0};
	owned(jobfile) *jobs = NULL;
	struct error err = {0};
	int status = 0;

	if (read_options(argc, argv, lint_usage, &options, &status))
		return status;
	if (local_jobs(options.path, &jobs, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	assert(jobs); /* what succeeds gives jobs */
	if (options.json)
		print_json(jobs);
	else
		print_plain(jobs);
	return fflush(stdout) == 0 ? 0 : 1;
}

int local_run(int argc, char **argv)
{
	struct local_options options = {0};
	struct error err = {0};
	int status = 0;

	if (read_options(argc, argv, run_usage, &options, &status))
		return status;
	status = local_run_jobs(&options, &err);
	if (err.code)
		(void)fprintf(stderr, "cupel run: %s\n", err.text);
	return status;
}
