/* cupel-observer - watches git repositories and tells a dispatcher each new commit. */
#include "base/fd.h"
#include "base/log.h"
#include "observer/observer.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_DEFAULT "/etc/cupel/observer.yml"

static const char usage[] =
	"usage: cupel-observer --state DIR --dispatcher ADDRESS|--token FILE [OPTION]... REPO...\n"
	"\n"
	"Watches git repositories and tells a cupel-dispatcher each new commit of each branch and tag.\n"
	"REPO is a path (bare or a working directory), a URL, or NAME=PATH.\n"
	"\n"
	"  --state DIR           what has been seen (cursors), and copies of remote repositories\n"
	"  --dispatcher ADDRESS  unix:PATH or HOST:PORT\n"
	"  --token FILE          the join token that `cupel enroll NAME --role observer` printed\n"
	"  --name NAME           of this observer; the host's, or the token's\n"
	"  --poll TIME           how often all refs are read, besides inotify; 30s\n"
	"  --build-head          test the tip of each branch of a repository that is new to this observer\n"
	"  --config FILE         " CONFIG_DEFAULT " if it is there; options win\n"
	"  --ready-fd N          write a line `ready` there when everything is watched\n"
	"  --help, --version\n";

struct command {
	struct options options;
	const char *config;
	int ready_fd;
};

struct life {
	struct event_base *base;
	struct event *term, *interrupt;
	int ready_fd;
	bool refused;
};

/* --- the command line --------------------------------------------------- */

static int wrong_usage(const char *sentence)
{
	(void)fprintf(stderr, "cupel-observer: %s (--help tells more)\n", sentence);
	return 2;
}

static int set(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
	return *field ? 0 : wrong_usage("no memory");
}

static int set_ready_fd(struct command *c, const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 0 || n > 1 << 20)
		return wrong_usage("--ready-fd takes the number of an open descriptor");
	c->ready_fd = (int)n;
	return 0;
}

enum { STATE = 1, DISPATCHER, TOKEN, NAME, POLL, BUILD_HEAD, CONFIG, READY_FD, HELP, VERSION };

static int take_option(struct command *c, int option)
{
	struct error err = {0};

	switch (option) {
	case STATE:
		return set(&c->options.state, optarg);
	case DISPATCHER:
		return set(&c->options.dispatcher, optarg);
	case TOKEN:
		return set(&c->options.token, optarg);
	case NAME:
		return set(&c->options.name, optarg);
	case POLL:
		return options_set_poll(&c->options, optarg, &err) < 0 ? wrong_usage(err.text) : 0;
	case BUILD_HEAD:
		c->options.build_head = true;
		return 0;
	case CONFIG:
		c->config = optarg;
		return 0;
	case READY_FD:
		return set_ready_fd(c, optarg);
	default:
		return wrong_usage("what stands before can't be understood");
	}
}

/* 0: go on; -1: all is said, exit with 0; else the exit status. */
static int read_command(int argc, char **argv, struct command *c)
{
	static const struct option long_options[] = {
		{"state", required_argument, NULL, STATE},
		{"dispatcher", required_argument, NULL, DISPATCHER},
		{"token", required_argument, NULL, TOKEN},
		{"name", required_argument, NULL, NAME},
		{"poll", required_argument, NULL, POLL},
		{"build-head", no_argument, NULL, BUILD_HEAD},
		{"config", required_argument, NULL, CONFIG},
		{"ready-fd", required_argument, NULL, READY_FD},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0}};
	struct error err = {0};
	int option, rc = 0;

	while (rc == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == HELP || option == VERSION) {
			(void)fputs(option == HELP ? usage : "cupel-observer " CUPEL_VERSION "\n",
				    stdout);
			return -1;
		}
		rc = take_option(c, option);
	}
	for (int i = optind; rc == 0 && i < argc; i++)
		if (options_add_repository(&c->options, argv[i], &err) < 0)
			rc = wrong_usage(err.text);
	return rc;
}

static int read_config(struct command *c, struct error *err)
{
	owned_options file = {0};
	int rc = options_read(c->config ? c->config : CONFIG_DEFAULT, &file, err);

	if (rc == -ENOENT && !c->config)
		rc = 0;
	if (rc == 0)
		options_merge(&c->options, &file);
	if (!c->options.poll_ms)
		c->options.poll_ms = POLL_MS_DEFAULT;
	return rc;
}

static const char *missing(const struct options *o)
{
	if (!o->state)
		return "--state DIR is missing";
	if (!o->dispatcher == !o->token)
		return "give either --dispatcher ADDRESS or --token FILE";
	return o->count ? NULL : "which repositories? Give their paths or URLs";
}

/* --- running ------------------------------------------------------------ */

static void on_ready(void *context)
{
	struct life *l = context;

	if (l->ready_fd < 0)
		return;
	(void)fd_write_all(l->ready_fd, "ready\n", 6); /* whoever asked may be gone */
	close(l->ready_fd);
	l->ready_fd = -1;
}

static void on_refused(void *context, const char *reason)
{
	struct life *l = context;

	log_error("the dispatcher refuses this observer: %s", reason);
	l->refused = true;
	event_base_loopbreak(l->base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct life *l = arg;

	(void)number;
	(void)what;
	event_base_loopbreak(l->base);
}

static int catch_signals(struct life *l)
{
	(void)signal(SIGPIPE, SIG_IGN);
	l->term = evsignal_new(l->base, SIGTERM, on_signal, l);
	l->interrupt = evsignal_new(l->base, SIGINT, on_signal, l);
	return l->term && l->interrupt && event_add(l->term, NULL) == 0 &&
			       event_add(l->interrupt, NULL) == 0
		       ? 0
		       : -ENOMEM;
}

static int watch_all(struct life *l, const struct options *options)
{
	const struct observer_hooks hooks = {
		.ready = on_ready, .refused = on_refused, .context = l};
	struct error err = {0};
	owned(observer) *o = NULL;

	if (catch_signals(l) < 0)
		(void)error_set(&err, ENOMEM, "start");
	else if (observer_new(l->base, options, &hooks, &o, &err) == 0)
		event_base_dispatch(l->base);
	if (err.code)
		(void)fprintf(stderr, "cupel-observer: %s\n", err.text);
	return err.code || l->refused;
}

static int run(const struct command *c)
{
	struct life l = {.base = event_base_new(), .ready_fd = c->ready_fd};
	int status = l.base ? watch_all(&l, &c->options) : 1;

	if (l.term)
		event_free(l.term);
	if (l.interrupt)
		event_free(l.interrupt);
	if (l.base)
		event_base_free(l.base);
	return status;
}

int main(int argc, char **argv)
{
	struct command c = {.ready_fd = -1};
	struct error err = {0};
	int status;

	log_open("cupel-observer");
	status = read_command(argc, argv, &c);
	if (status == 0 && read_config(&c, &err) < 0) {
		(void)fprintf(stderr, "cupel-observer: %s\n", err.text);
		status = 1;
	}
	if (status == 0 && missing(&c.options))
		status = wrong_usage(missing(&c.options));
	if (status == 0)
		status = run(&c);
	options_done(&c.options);
	return status < 0 ? 0 : status;
}
