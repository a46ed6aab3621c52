/* cupel-runner - runs what a dispatcher assigns, on this box, each job in a sandbox of its own. */
#include "base/fd.h"
#include "base/log.h"
#include "runner/git.h"
#include "runner/local.h"
#include "runner/runner.h"
#include "runner/settings.h"
#include "runner/supervisor.h"
#include "sandbox/sandbox.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char usage[] =
	"usage: cupel-runner --state DIR --dispatcher ADDRESS|--token FILE [OPTION]...\n"
	"       cupel-runner lint [--json] [DIR|FILE]\n"
	"       cupel-runner run [--json] [--job NAME] [--rev REVISION] [DIR]\n"
	"\n"
	"Tests what the dispatcher assigns, each job in a fresh worktree and a sandbox of its own.\n"
	"\n"
	"  --state DIR             mirrors, spool, worktrees (made when missing)\n"
	"  --dispatcher ADDRESS    unix:PATH or HOST:PORT\n"
	"  --token FILE            what `cupel enroll` printed; names dispatcher and runner\n"
	"  --name NAME             of this runner (the host's name)\n"
	"  --slots N               jobs at once, 1 to 64 (one a processor)\n"
	"  --labels A,B            beside linux and the machine's kind\n"
	"  --repositories A,B      takes only these, or below them: absolute paths, starts of URLs\n"
	"  --cpus X, --memory SIZE, --tasks N\n"
	"                          what all jobs together may use\n"
	"  --job-cpus X, --job-memory SIZE, --job-tasks N, --job-disk SIZE, --job-output SIZE,\n"
	"  --job-wall TIME (also --wall), --job-idle TIME, --job-cpu-time TIME\n"
	"                          what one job may use at most, whatever it asks for\n"
	"  --allow-network-host    jobs may ask for the host's network\n"
	"  --disk-floor SIZE       take nothing while less is free (5 % of the disk)\n"
	"  --work DIR              for worktrees (DIR/work)\n"
	"  --config FILE           the same names as keys; default " SETTINGS_FILE
	", if it is there\n"
	"  --ready-fd N            writes \"ready\" there once it serves\n"
	"  --help, --version\n"
	"\n"
	"SIGTERM and SIGINT end the jobs and then the runner; SIGUSR2 ends the runner alone, and the\n"
	"next one of the same state goes on with its jobs.\n";

static void on_stop(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	runner_stop(context);
}

static void on_leave(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	runner_leave(context);
}

static int tell_ready(int fd, struct error *err)
{
	int rc = fd >= 0 ? fd_write_all(fd, "ready\n", 6) : 0;

	if (fd >= 0)
		(void)close(fd); /* what matters was written */
	return rc < 0 ? error_set(err, -rc, "write to --ready-fd %d", fd) : 0;
}

static int run_loop(struct event_base *base, struct runner *r, const struct settings *s,
		    struct error *err)
{
	struct event *signals[] = {evsignal_new(base, SIGTERM, on_stop, r),
				   evsignal_new(base, SIGINT, on_stop, r),
				   evsignal_new(base, SIGUSR2, on_leave, r)};
	int rc = 0;

	for (size_t i = 0; i < 3; i++)
		if (!signals[i] || event_add(signals[i], NULL) < 0)
			rc = error_set(err, ENOMEM, "wait for signals");
	if (rc == 0)
		rc = tell_ready(s->ready_fd, err);
	if (rc == 0 && event_base_dispatch(base) < 0)
		rc = error_set(err, EIO, "run the event loop");
	if (rc == 0 && runner_refusal(r))
		rc = error_say(err, EPERM, "the dispatcher refused: %s", runner_refusal(r));
	for (size_t i = 0; i < 3; i++)
		if (signals[i])
			event_free(signals[i]);
	return rc;
}

static int serve(const struct settings *s, struct error *err)
{
	struct event_base *base;
	struct runner *r = NULL;
	int rc = git_start(err);

	(void)sandbox_can(); /* both open what the supervisors need as well */
	sandbox_prepare();
	if (rc == 0)
		rc = supervisor_prepare(err);
	if (rc < 0)
		return rc;
	base = event_base_new();
	rc = base ? runner_new(base, &s->options, &r, err)
		  : error_set(err, ENOMEM, "make the event loop");
	if (rc == 0) {
		rc = run_loop(base, r, s, err);
		runner_free(r);
	}
	if (base)
		event_base_free(base);
	git_stop();
	return rc;
}

static void set_process(void)
{
	struct rlimit limit;

	(void)umask(022);               /* modes of worktrees are exact */
	(void)signal(SIGPIPE, SIG_IGN); /* a write tells */
	(void)mallopt(M_ARENA_MAX, 1);  /* one thread allocates */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* it stays as it was */
}

int main(int argc, char **argv)
{
	struct settings s;
	struct error err = {0};
	int rc;

	set_process();
	log_open("cupel-runner");
	if (argc > 1 && strcmp(argv[1], "lint") == 0)
		return local_lint(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return local_run(argc - 1, argv + 1);
	rc = settings_read(argc, argv, &s, &err);
	if (rc == 0 && (s.help || s.version)) {
		(void)fputs(s.help ? usage : "cupel-runner " CUPEL_VERSION "\n", stdout);
		settings_done(&s);
		return 0;
	}
	if (rc == 0)
		rc = serve(&s, &err) < 0 ? -EIO : 0;
	if (rc < 0)
		(void)fprintf(stderr, "cupel-runner: %s\n", err.text);
	settings_done(&s);
	return rc == -EINVAL ? 2 : rc < 0 ? 1 : 0;
}
