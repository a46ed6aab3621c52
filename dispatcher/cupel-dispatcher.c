/* cupel-dispatcher - keeps what must be run, gives it to runners, keeps what came of it. */
#include "base/fd.h"
#include "base/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/settings.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char usage[] =
	"usage: cupel-dispatcher --state DIR [--listen ADDRESS]... [OPTION]...\n"
	"\n"
	"Takes commits from observers, hands their jobs to runners, keeps logs and verdicts.\n"
	"\n"
	"  --state DIR            where everything is kept (made when missing)\n"
	"  --listen ADDRESS       unix:PATH or HOST:PORT (TLS); default unix:DIR/dispatcher.sock\n"
	"  --advertise HOST:PORT  what join tokens name; default: the TCP address it listens on\n"
	"  --config FILE          default " SETTINGS_FILE ", if it is there; options win\n"
	"  --heartbeat TIME       how often runners report (5s)\n"
	"  --lease TIME           how long a runner may be silent (60s)\n"
	"  --lease-slack TIME     how much longer the dispatcher waits (5s)\n"
	"  --accept TIME          for a runner to accept an attempt (5s)\n"
	"  --prepare TIME         for preparing, and for finishing, at most (5m)\n"
	"  --deadline-slack TIME  how much later than the runner's its own clock strikes (10s)\n"
	"  --ready-fd N           writes \"ready\" there once it can be dialled\n"
	"  --help, --version\n";

static void stop(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)event_base_loopbreak(context); /* it is running */
}

/* Every runner is a connection and every live log a file. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* it stays as it was */
}

static int tell_ready(int fd, struct error *err)
{
	int rc = fd >= 0 ? fd_write_all(fd, "ready\n", 6) : 0;

	if (fd >= 0)
		(void)close(fd); /* what matters was written */
	return rc < 0 ? error_set(err, -rc, "write to --ready-fd %d", fd) : 0;
}

static int serve(struct event_base *base, const struct settings *s, struct error *err)
{
	struct event *term = evsignal_new(base, SIGTERM, stop, base);
	struct event *interrupt = evsignal_new(base, SIGINT, stop, base);
	owned(dispatcher) *d = NULL;
	int rc = 0;

	if (!term || !interrupt || event_add(term, NULL) < 0 || event_add(interrupt, NULL) < 0)
		rc = error_set(err, ENOMEM, "wait for signals");
	if (rc == 0)
		rc = dispatcher_new(base, &s->options, &d, err);
	if (rc == 0)
		rc = tell_ready(s->ready_fd, err);
	if (rc == 0 && event_base_dispatch(base) < 0)
		rc = error_set(err, EIO, "run the event loop");
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	return rc;
}

int main(int argc, char **argv)
{
	struct settings s;
	struct error err = {0};
	struct event_base *base;
	int rc = settings_read(argc, argv, &s, &err);

	if (s.help || s.version) {
		if (s.help)
			(void)fputs(usage, stdout);
		else
			(void)puts("cupel-dispatcher " CUPEL_VERSION);
		return 0;
	}
	if (rc < 0) {
		(void)fprintf(stderr, "cupel-dispatcher: %s\n", err.text);
		if (rc == -EINVAL && !s.file)
			(void)fprintf(stderr, "`cupel-dispatcher --help` shows the options\n");
		settings_done(&s);
		return rc == -EINVAL ? 2 : 1;
	}
	log_open("cupel-dispatcher");
	(void)signal(SIGPIPE, SIG_IGN); /* a write tells */
	(void)mallopt(M_ARENA_MAX,
		      1); /* one thread allocates; a second arena would only cost memory */
	(void)umask(
		077); /* logs and tokens are nobody else's; the socket's mode is set by itself */
	raise_file_limit();
	base = event_base_new();
	rc = base ? serve(base, &s, &err) : error_set(&err, ENOMEM, "make the event loop");
	if (rc < 0)
		(void)fprintf(stderr, "cupel-dispatcher: %s\n", err.text);
	if (base)
		event_base_free(base);
	settings_done(&s);
	return rc < 0 ? 1 : 0;
}
