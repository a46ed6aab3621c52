/* cupel-sandbox - runs one command behind walls and tells how it ended. */
#include "base/fd.h"
#include "base/owned.h"
#include "sandbox/options.h"
#include "sandbox/outlet.h"
#include "sandbox/outcome.h"
#include "sandbox/prove.h"
#include "sandbox/report.h"
#include "sandbox/report_file.h"
#include "sandbox/resident.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_USAGE      125
#define STATUS_NOT_SET_UP 125

/* Descriptors 0 to 2 that were closed would be given to files that we open. To write to them still
 * fails. */
static void open_missing(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
}

/* Names come from repositories and jobs: none of their bytes shall be the terminal's to obey. */
static void tell(const char *verdict, const char *text)
{
	(void)fprintf(stderr, "cupel-sandbox: %s%s", verdict, *verdict ? ": " : "");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		(void)fprintf(stderr, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x", c);
	}
	(void)fputc('\n', stderr);
}

static int complain(const char *text)
{
	tell("", text);
	return STATUS_USAGE;
}

static void print_line(void *context, bool ok, const char *what, const char *remedy)
{
	(void)context;
	(void)printf("%-8s %s\n", ok ? "ok" : "missing", what);
	if (!ok && remedy)
		(void)printf("         %s\n", remedy);
}

static void print_attack(void *context, enum prove_finding finding, const char *attack,
			 const char *detail)
{
	static const char *const told[] = {
		[PROVE_CONTAINED] = "contained",
		[PROVE_ESCAPED] = "NOT CONTAINED",
		[PROVE_REFUSED] = "refused to start",
		[PROVE_UNTRIED] = "could not be tried",
	};

	(void)context;
	(void)printf("%-18s %-48s %s\n", told[finding], attack, detail);
	(void)fflush(stdout);
}

/* One job, and who waits for it. */
struct run {
	struct sandbox *job;
	struct outlet *outlet;
	int signals;
	bool cancelled;
};

static void pass_on(void *context, int stream, const void *bytes, size_t length)
{
	const struct run *r = context;

	outlet_put(r->outlet, stream, bytes, length);
	sandbox_hold_output(r->job, true);
}

/* What would end this process becomes a cancellation, and ^Z stops the job, too. */
static int open_signals(void)
{
	static const int others[] = {SIGSEGV, SIGBUS, SIGILL,   SIGFPE,  SIGABRT,
				     SIGTRAP, SIGSYS, SIGCHLD,  SIGCONT, SIGTTIN,
				     SIGTTOU, SIGURG, SIGWINCH, SIGPIPE, SIGXFSZ};
	sigset_t wanted;

	(void)sigfillset(&wanted);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		(void)sigdelset(&wanted, others[i]);
	(void)sigprocmask(SIG_BLOCK, &wanted, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void stop(struct sandbox *s)
{
	(void)sandbox_freeze(s, true, NULL); /* where it can be; else the job goes on alone */
	(void)raise(SIGSTOP);
	(void)sandbox_freeze(s, false, NULL);
}

static void obey(struct run *r)
{
	struct signalfd_siginfo info;
	const char *name;
	char reason[64];

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTSTP) {
		stop(r->job);
		return;
	}
	name = sigdescr_np((int)info.ssi_signo);
	(void)snprintf(reason, sizeof(reason), "by signal %u (%s)", info.ssi_signo,
		       name ? name : "of its caller's");
	r->cancelled = true;
	sandbox_kill(r->job, reason);
}

static void give_up(struct sandbox *s, int broken)
{
	char reason[128];

	if (broken == EPIPE)
		(void)snprintf(reason, sizeof(reason), "nobody reads the output");
	else
		(void)snprintf(reason, sizeof(reason), "its output can't be written: %s",
			       strerror(broken));
	sandbox_kill(s, reason);
}

/* Until something happens. */
static void await_event(struct run *r)
{
	struct pollfd wait[] = {{.fd = sandbox_fd(r->job), .events = POLLIN},
				{.fd = outlet_fd(r->outlet), .events = POLLIN},
				{.fd = r->signals, .events = POLLIN}};

	(void)poll(wait, 3, -1); /* EINTR: look again */
	if (wait[1].revents) {
		outlet_heard(r->outlet);
		sandbox_hold_output(r->job, !outlet_is_empty(r->outlet));
	}
	if (wait[2].revents)
		obey(r);
}

/* A cancelled one's reader is not waited for longer. */
#define LAST_OUTPUT_MS 1000

static void follow(struct run *r)
{
	struct pollfd rest = {.fd = outlet_fd(r->outlet), .events = POLLIN};
	struct error err = {0};
	int rc;

	while ((rc = sandbox_step(r->job, &err)) != 1) {
		if (rc < 0)
			(void)fprintf(stderr, "cupel-sandbox: %s\n", err.text);
		if (r->cancelled)
			sandbox_hold_output(r->job, false);
		await_event(r);
		if (outlet_broken(r->outlet)) /* before a step says that it is over */
			give_up(r->job, outlet_broken(r->outlet));
	}
	outlet_heard(r->outlet);
	if (!outlet_is_empty(r->outlet))
		(void)poll(&rest, 1, LAST_OUTPUT_MS);
}

static int write_report(struct report_file *file, const struct sandbox_outcome *outcome,
			struct error *err)
{
	owned_buffer text = {0};
	int rc = report_json(outcome, &text);

	return rc < 0 ? error_set(err, -rc, "write the report")
		      : report_file_write(file, text.data, text.length, err);
}

static int run(struct options *o, struct sandbox_outcome *outcome, struct error *err)
{
	owned(sandbox_launcher) *launcher = NULL;
	owned(sandbox) *s = NULL;
	owned(outlet) *outlet = NULL;
	owned_fd signals = open_signals();
	struct run r = {.signals = signals};
	int rc = outlet_new(&outlet);

	if (rc < 0)
		return error_set(err, -rc, "pass on the output");
	rc = o->by_launcher ? sandbox_launcher_new(NULL, &launcher, err) : 0;
	if (rc < 0)
		return rc;
	o->spec.launcher = launcher;
	o->spec.output = pass_on;
	o->spec.context = &r;
	r.outlet = outlet;
	rc = sandbox_start(&o->spec, &s, err);
	if (rc < 0)
		return rc;
	r.job = s;
	follow(&r);
	sandbox_outcome(s, outcome);
	return 0;
}

/* What a person at the terminal must know; a plain failure speaks for itself. */
static void explain(const struct sandbox_outcome *outcome)
{
	bool own_failure = outcome->exit_code >= 0 && !outcome->limit;

	if (outcome->output_cut)
		tell("", "the output was cut at its limit");
	if (outcome->verdict == SANDBOX_ERRORED)
		tell("", outcome->reason);
	else if (outcome->verdict != SANDBOX_PASSED && !own_failure)
		tell(outcome_verdict_name(outcome->verdict), outcome->reason);
}

/* A directory full of the owner's keys is nobody's worktree, though a login begins there. */
static bool is_home(const char *worktree)
{
	const char *home = getenv("HOME");
	const struct passwd *user = home && *home ? NULL : getpwuid(getuid());
	struct stat it, st;

	if (user)
		home = user->pw_dir;
	return home && stat(worktree, &it) == 0 && stat(home, &st) == 0 && it.st_dev == st.st_dev &&
	       it.st_ino == st.st_ino;
}

/* The spec's worktree as an absolute path, in `path` of PATH_MAX bytes where it isn't one. */
static int find_worktree(struct options *o, char *path, struct error *err)
{
	const char *wanted = o->spec.worktree;
	size_t length;

	if (o->bare)
		return 0;
	if (!wanted || *wanted != '/') {
		if (!getcwd(path, PATH_MAX))
			return error_set(err, errno,
					 "the current directory can't be found; give --workdir");
		length = strlen(path);
		if (wanted && (size_t)snprintf(path + length, PATH_MAX - length, "%s%s",
					       length > 1 ? "/" : "", wanted) >= PATH_MAX - length)
			return error_set(err, ENAMETOOLONG, "--workdir '%.200s'", wanted);
		o->spec.worktree = path;
	}
	/* Where we are stays where we are, whatever becomes of the path. */
	o->spec.worktree_fd = wanted ? -1 : open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	o->spec.worktree_open = o->spec.worktree_fd >= 0;
	if (is_home(o->spec.worktree))
		return error_say(err, EPERM,
				 "the worktree is your home directory %s, which the job could then "
				 "read and write; change to a directory made for it",
				 o->spec.worktree);
	return 0;
}

static int run_command(struct options *o)
{
	struct sandbox_outcome outcome = {.verdict = SANDBOX_ERRORED, .exit_code = -1};
	struct report_file report = REPORT_FILE_NONE;
	struct error err = {0};
	char worktree[PATH_MAX];
	int rc = find_worktree(o, worktree, &err);

	if (rc == 0 && o->report)
		rc = report_file_open(o->report, &o->spec, &report, &err);
	if (rc < 0)
		return complain(err.text);
	if (run(o, &outcome, &err) < 0) {
		(void)snprintf(outcome.reason, sizeof(outcome.reason), "%.390s", err.text);
		outcome.infrastructure = err.code != EINVAL;
		outcome.shell_status = STATUS_NOT_SET_UP;
	}
	explain(&outcome);
	if (o->report)
		rc = write_report(&report, &outcome, &err);
	report_file_done(&report);
	return rc < 0 ? complain(err.text) : outcome.shell_status;
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
		status = prove(print_attack, NULL);
		break;
	case OPTIONS_RESIDENT:
		status = resident_main(RESIDENT_SOCKET);
		break;
	default:
		status = run_command(&options);
	}
	options_done(&options);
	if (fflush(stdout) != 0)
		return complain("standard output could not be written");
	return status;
}
