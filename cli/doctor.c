#include "cli/subcommands.h"

#include "base/units.h"
#include "cli/escape.h"
#include "cli/json.h"
#include "cli/sibling.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define OUTPUT_MAX 4096 /* bytes that are shown of a program */
#define DISK_LEAST                                                                                 \
	((uint64_t)1 << 30) /* bytes free for state: below, jobs and logs soon have no room */

struct finding {
	const char *name;
	bool passed;
	struct buffer text;
};

/* --- asking programs
 * -------------------------------------------------------------------------------- */

static int start(const char *path, const char *argument, int *out)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		if (dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0)
			(void)execlp(path, path, argument, NULL); /* returns only if it fails */
		_exit(127);
	}
	(void)close(ends[1]); /* the child's */
	if (pid < 0) {
		(void)close(ends[0]); /* nobody writes */
		return -ECHILD;
	}
	*out = ends[0];
	return pid;
}

/* What it prints, and whether it ended well. */
static bool ask(const char *path, const char *argument, struct buffer *text)
{
	owned_fd fd = -1;
	char chunk[512];
	ssize_t n;
	int status = 0;
	pid_t pid = start(path, argument, &fd);

	if (pid < 0)
		return false;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (text->length < OUTPUT_MAX && buffer_append(text, chunk, (size_t)n) < 0)
			break;
	if (waitpid(pid, &status, 0) != pid)
		return false;
	while (text->length && text->data[text->length - 1] == '\n')
		text->data[--text->length] = '\0';
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- the checks
 * ------------------------------------------------------------------------------------- */

static bool check_dispatcher(struct cli *cli, struct buffer *text)
{
	Cupel__RunnersRequest wish = CUPEL__RUNNERS_REQUEST__INIT;
	owned(client) *c = NULL;
	struct error err = {0};
	ProtobufCMessage *m;
	size_t there = 0;

	if (client_open(cli, CUPEL__ROLE__ROLE_READER, &c, &err) < 0 ||
	    client_ask(c, FRAME_RUNNERS, &wish.base, FRAME_RUNNER_LIST, &m, &err) < 0) {
		(void)buffer_printf(text, "%s", err.text); /* less without memory */
		return false;
	}
	for (size_t i = 0; i < ((Cupel__RunnerList *)m)->n_runners; i++)
		there += ((Cupel__RunnerList *)m)->runners[i]->connected;
	message_free(m);
	(void)buffer_printf(
		text, "it answers, and has %zu runner%s%s", there, there == 1 ? "" : "s",
		there ? "" : ": nothing will run until one joins"); /* less without memory */
	return there > 0;
}

static bool check_sandbox(struct cli *cli, struct buffer *text)
{
	char path[PATH_MAX];
	struct error err = {0};

	(void)cli;
	if (sibling_find("cupel-sandbox", path, &err) == 0)
		return ask(path, "--check", text);
	(void)buffer_printf(text, "%s", err.text); /* less without memory */
	return false;
}

static bool check_programs(struct cli *cli, struct buffer *text)
{
	static const char *const programs[] = {"cupel-dispatcher", "cupel-runner",
					       "cupel-observer"};
	struct error err = {0};

	(void)cli;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		char path[PATH_MAX];

		if (sibling_find(programs[i], path, &err) < 0) {
			(void)buffer_printf(text, "%s", err.text); /* less without memory */
			return false;
		}
	}
	(void)buffer_printf(text, "all are there"); /* less without memory */
	return true;
}

/* Of the state directory, or where it would be made. */
static bool check_disk(struct cli *cli, struct buffer *text)
{
	char state[PATH_MAX], size[32];
	struct error err = {0};
	struct statvfs st;
	uint64_t left;

	(void)cli;
	if (cli_default_state(state, sizeof(state), &err) < 0) {
		(void)buffer_printf(text, "%s", err.text); /* less without memory */
		return false;
	}
	while (statvfs(state, &st) < 0 && strrchr(state, '/') > state)
		*strrchr(state, '/') = '\0';
	left = (uint64_t)st.f_bavail * st.f_frsize;
	units_format_size(left, size, sizeof(size));
	(void)buffer_printf(text, "%s left at %s%s", size, state,
			    left < DISK_LEAST ? ": make room, logs and worktrees need some" : "");
	return left >= DISK_LEAST;
}

static bool check_git(struct cli *cli, struct buffer *text)
{
	(void)cli;
	if (ask("git", "--version", text))
		return true;
	buffer_clear(text);
	(void)buffer_printf(text, "it isn't there: Cupel doesn't need it, whoever commits does");
	return false;
}

static const struct {
	const char *name;
	bool (*check)(struct cli *cli, struct buffer *text);
} checks[] = {
	{"dispatcher", check_dispatcher},
	{"programs", check_programs},
	{"sandbox", check_sandbox},
	{"disk", check_disk},
	{"git", check_git},
};
#define CHECKS (sizeof(checks) / sizeof(checks[0]))

/* --- telling
 * ---------------------------------------------------------------------------------------- */

/* Its lines, each behind the first indented. */
static int put_lines(struct buffer *out, const char *text)
{
	int rc = 0;

	while (rc == 0) {
		size_t length = strcspn(text, "\n");
		owned_str *line = strndup(text, length);

		rc = line ? escape_text(out, line) : -ENOMEM;
		if (rc == 0)
			rc = buffer_append(out, "\n", 1);
		if (rc < 0 || !text[length])
			return rc;
		text += length + 1;
		rc = buffer_printf(out, "%*s", 17, "");
	}
	return rc;
}

static int put_finding(struct cli *cli, struct buffer *out, const struct finding *f)
{
	enum style style = f->passed ? STYLE_GOOD : STYLE_BAD;
	int rc = style_on(out, style, cli->out.colour);

	if (rc == 0)
		rc = buffer_printf(out, "%-4s", f->passed ? "ok" : "BAD");
	if (rc == 0)
		rc = style_off(out, style, cli->out.colour);
	if (rc == 0)
		rc = buffer_printf(out, " %-11s ", f->name);
	return rc == 0 ? put_lines(out, f->text.data ? f->text.data : "it can't be asked") : rc;
}

static int print_json(struct cli *cli, const struct finding *findings, int status)
{
	struct json_check list[CHECKS];
	owned_str *json = NULL;
	owned_buffer line = {0};

	for (size_t i = 0; i < CHECKS; i++)
		list[i] = (struct json_check){findings[i].name,
					      findings[i].text.data ? findings[i].text.data : "",
					      findings[i].passed};
	json = json_of_checks(list, CHECKS);
	if (!json || buffer_printf(&line, "%s\n", json) < 0)
		return STATUS_FAILED; /* no memory to say more */
	return cli_print(cli, &line, status);
}

static int run(struct cli *cli, void *values)
{
	struct finding findings[CHECKS] = {0};
	owned_buffer out = {0};
	int status = 0, rc = 0;

	(void)values;
	for (size_t i = 0; i < CHECKS; i++) {
		findings[i].name = checks[i].name;
		findings[i].passed = checks[i].check(cli, &findings[i].text);
		status = findings[i].passed ? status : STATUS_FAILED;
		rc = rc == 0 ? put_finding(cli, &out, &findings[i]) : rc;
	}
	status = cli->json ? print_json(cli, findings, status)
			   : cli_print(cli, &out, rc < 0 ? STATUS_FAILED : status);
	for (size_t i = 0; i < CHECKS; i++)
		buffer_done(&findings[i].text);
	return status;
}

const struct command command_doctor = {
	.name = "doctor",
	.synopsis = "",
	.summary = "looks whether everything is there that Cupel needs",
	.asks = true,
	.run = run,
};
