/* cupel-sandbox - runs one command behind walls and tells how it ended. */
#include "base/fd.h"
#include "base/owned.h"
#include "sandbox/options.h"
#include "sandbox/outcome.h"
#include "sandbox/prove.h"
#include "sandbox/report.h"
#include "sandbox/resident.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#define STATUS_USAGE      125
#define STATUS_NOT_SET_UP 125

/* Descriptors 0 to 2 that were closed would be given to files that we open. */
static void open_missing(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
}

static int complain(const char *text)
{
	(void)fprintf(stderr, "cupel-sandbox: %s\n", text);
	return STATUS_USAGE;
}

static void pass_on(void *context, int stream, const void *bytes, size_t length)
{
	bool *broken = context;

	if (fd_write_all(stream, bytes, length) < 0)
		*broken = true; /* nobody reads any more */
}

static void print_line(void *context, bool ok, const char *what, const char *remedy)
{
	(void)context;
	(void)printf("%-8s %s\n", ok ? "ok" : "missing", what);
	if (!ok && remedy)
		(void)printf("         %s\n", remedy);
}

static void print_attack(void *context, bool contained, const char *attack, const char *detail)
{
	(void)context;
	(void)printf("%-13s %-52s %s\n", contained ? "contained" : "NOT CONTAINED", attack, detail);
	(void)fflush(stdout);
}

/* The terminal's and an administrator's wish to stop become a cancellation. */
static int open_signals(void)
{
	sigset_t wanted;

	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGINT);
	(void)sigaddset(&wanted, SIGTERM);
	(void)sigaddset(&wanted, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &wanted, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void cancel(struct sandbox *s, int signals)
{
	struct signalfd_siginfo info;
	char reason[64];

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	(void)snprintf(reason, sizeof(reason), "by signal %u (%s)", info.ssi_signo,
		       sigdescr_np((int)info.ssi_signo));
	sandbox_kill(s, reason);
}

static int write_report(int fd, const struct sandbox_outcome *outcome)
{
	owned_buffer text = {0};
	int rc = report_json(outcome, &text);

	return rc < 0 ? rc : fd_write_all(fd, text.data, text.length);
}

static int run(struct options *o, struct sandbox_outcome *outcome, struct error *err)
{
	owned(sandbox_launcher) *launcher = NULL;
	owned(sandbox) *s = NULL;
	owned_fd signals = open_signals();
	bool broken = false;
	int rc = o->by_launcher ? sandbox_launcher_new(NULL, &launcher, err) : 0;

	if (rc < 0)
		return rc;
	o->spec.launcher = launcher;

	o->spec.output = pass_on;
	o->spec.context = &broken;
	rc = sandbox_start(&o->spec, &s, err);
	if (rc < 0)
		return rc;
	while (sandbox_step(s, NULL) != 1) {
		struct pollfd wait[2] = {{.fd = sandbox_fd(s), .events = POLLIN},
					 {.fd = signals, .events = POLLIN}};

		if (broken)
			sandbox_kill(s, "nobody reads the output");
		(void)poll(wait, 2, -1); /* EINTR: look again */
		if (wait[1].revents)
			cancel(s, signals);
	}
	sandbox_outcome(s, outcome);
	return 0;
}

/* What a person at the terminal must know; a plain failure speaks for itself. */
static void explain(const struct sandbox_outcome *outcome)
{
	bool own_failure = outcome->exit_code >= 0 && !outcome->limit;

	if (outcome->verdict == SANDBOX_ERRORED)
		(void)fprintf(stderr, "cupel-sandbox: %s\n", outcome->reason);
	else if (outcome->verdict != SANDBOX_PASSED && !own_failure)
		(void)fprintf(stderr, "cupel-sandbox: %s: %s\n",
			      outcome_verdict_name(outcome->verdict), outcome->reason);
}

static int run_command(struct options *o)
{
	struct sandbox_outcome outcome = {.verdict = SANDBOX_ERRORED, .exit_code = -1};
	struct error err = {0};
	owned_fd report = -1;
	char cwd[PATH_MAX];

	if (!o->spec.worktree && !o->bare) {
		if (!getcwd(cwd, sizeof(cwd)))
			return complain("the current directory can't be found; give --workdir");
		o->spec.worktree = cwd;
	} else if (o->spec.worktree && !realpath(o->spec.worktree, cwd)) {
		return complain("--workdir: there is no such directory");
	}
	if (o->report) {
		report = open(o->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (report < 0) {
			(void)error_set(&err, errno, "--report %s", o->report);
			return complain(err.text);
		}
	}
	if (run(o, &outcome, &err) < 0) {
		(void)snprintf(outcome.reason, sizeof(outcome.reason), "%.390s", err.text);
		outcome.infrastructure = err.code != EINVAL;
		outcome.shell_status = STATUS_NOT_SET_UP;
	}
	explain(&outcome);
	if (report >= 0 && write_report(report, &outcome) < 0)
		return complain("the report could not be written");
	return outcome.shell_status;
}

int main(int argc, char **argv)
{
	struct options options;
	struct error err = {0};
	int status = 0;

	open_missing();
	if (options_parse(argc, (const char *const *)argv, &options, &err) < 0)
		return complain(err.text);
	switch (options.action) {
	case OPTIONS_HELP:
		(void)fputs(options_help, stdout);
		break;
	case OPTIONS_VERSION:
		(void)puts("cupel-sandbox " CUPEL_VERSION);
		break;
	case OPTIONS_CHECK:
		status = sandbox_check(print_line, NULL) ? 1 : 0;
		break;
	case OPTIONS_PROVE:
		status = prove(print_attack, NULL) ? 1 : 0;
		break;
	case OPTIONS_RESIDENT:
		status = resident_main(RESIDENT_SOCKET);
		break;
	default:
		status = run_command(&options);
	}
	options_done(&options);
	return status;
}
