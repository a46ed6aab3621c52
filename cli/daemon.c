#include "cli/daemon.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/sibling.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define LONG_LIFE_MS   60000 /* who lived so long begins again with the shortest wait */
#define STOP_MS        15000 /* a runner freezes and hands over its jobs, a dispatcher commits */
#define LAST_LINES     5     /* told when it dies */
#define LINE_MAX_      1024  /* bytes; what is longer is cut */
#define WORDS_MAX      2048
#define EXIT_MISUSED   2 /* of each daemon: wrong usage */

struct daemon {
	struct event_base *base;
	struct daemon_options options;
	const struct daemon_callbacks *callbacks;
	void *context;
	pid_t pid;                /* 0: it doesn't run */
	int pidfd, output, ready; /* -1 unless open */
	struct event *on_end, *on_output, *on_ready, *timer;
	bool started, stopping, misused;
	int64_t since_ms;
	uint64_t wait_ms;
	char line[LINE_MAX_]; /* that isn't whole yet */
	size_t line_length;
	char last[LAST_LINES][LINE_MAX_];
	unsigned last_count;
};

/* --- its lines
 * --------------------------------------------------------------------------------------- */

/* What log.h writes begins with a time; "info" and "debug" are for who asks for them. */
static bool is_quiet(const char *line)
{
	const char *bracket = strstr(line, "]");

	return bracket &&
	       (strncmp(bracket, "] info: ", 8) == 0 || strncmp(bracket, "] debug: ", 9) == 0);
}

static void end_line(struct daemon *d)
{
	if (!d->line_length)
		return;
	d->line[d->line_length] = '\0';
	d->line_length = 0;
	if (!is_quiet(d->line))
		(void)snprintf(d->last[d->last_count++ % LAST_LINES], LINE_MAX_, "%s",
			       d->line); /* fits */
	if (d->options.verbose || (d->started && !d->stopping && !is_quiet(d->line)))
		d->callbacks->said(d->context, d, d->line);
}

static void take_bytes(struct daemon *d, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] == '\n')
			end_line(d);
		else if (d->line_length < sizeof(d->line) - 1)
			d->line[d->line_length++] = bytes[i];
}

static void drop(struct event **event, int *fd)
{
	if (*event)
		event_free(give(*event));
	if (*fd >= 0)
		(void)close(give_fd(fd)); /* nothing is written to it */
}

/* False: there is no more now. */
static bool read_output(struct daemon *d)
{
	char chunk[4096];
	ssize_t n = read(d->output, chunk, sizeof(chunk));

	if (n > 0)
		take_bytes(d, chunk, (size_t)n);
	if (n == 0)
		drop(&d->on_output, &d->output);
	return n > 0;
}

static void output_event(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)read_output(context); /* it comes again while there is more */
}

/* --- readiness and the end
 * ---------------------------------------------------------------------------- */

static void ready_event(evutil_socket_t fd, short what, void *context)
{
	struct daemon *d = context;
	char word[16];
	ssize_t n = read(fd, word, sizeof(word));

	(void)what;
	drop(&d->on_ready, &d->ready);
	if (n <= 0)
		return; /* it is about to end, which is told by itself */
	d->started = true;
	d->callbacks->ready(d->context, d);
}

static void tell_end(struct daemon *d, int status)
{
	char how[LAST_LINES * LINE_MAX_];
	unsigned first = d->last_count > LAST_LINES ? d->last_count - LAST_LINES : 0;
	int used;

	if (WIFSIGNALED(status))
		used = snprintf(how, sizeof(how), "killed by signal %d (%s)", WTERMSIG(status),
				strsignal(WTERMSIG(status)));
	else
		used = snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
	for (unsigned i = first; i < d->last_count && used > 0 && (size_t)used < sizeof(how); i++)
		used += snprintf(how + used, sizeof(how) - (size_t)used, "\n%s",
				 d->last[i % LAST_LINES]);
	d->callbacks->ended(d->context, d, d->started, how);
}

static void end_event(evutil_socket_t fd, short what, void *context)
{
	struct daemon *d = context;
	int status = 0;

	(void)fd;
	(void)what;
	if (waitpid(d->pid, &status, WNOHANG) != d->pid)
		return;
	d->pid = 0;
	d->misused = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MISUSED;
	(void)event_del(d->timer); /* it is ours */
	drop(&d->on_end, &d->pidfd);
	drop(&d->on_ready, &d->ready);
	while (d->output >= 0 && read_output(d))
		;
	drop(&d->on_output,
	     &d->output); /* what it forked may go on and write nothing of use to us */
	end_line(d);
	tell_end(d, status); /* may start it again */
}

/* Stopping: it had its time. Otherwise: time to start again. */
static void timer_event(evutil_socket_t fd, short what, void *context)
{
	struct daemon *d = context;
	struct error err = {0};

	(void)fd;
	(void)what;
	if (d->pid) {
		(void)kill(d->pid, SIGKILL); /* it is our child: it is there */
		return;
	}
	if (!d->stopping && daemon_start(d, &err) < 0)
		d->callbacks->ended(d->context, d, true, err.text);
}

/* --- starting
 * ----------------------------------------------------------------------------------------- */

/* The child: its output to us, its end with ours, the terminal's ^C only to us. */
static void become(const struct daemon *d, const char *path, int output, int ready, pid_t parent)
{
	char *words[WORDS_MAX], number[16];
	size_t count = 0;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL); /* can't fail for this signal */
	(void)setpgid(0, 0);            /* then ^C reaches it too, and it stops a little early */
	if (prctl(PR_SET_PDEATHSIG, d->options.orphaned) < 0 || getppid() != parent)
		_exit(1);
	if (dup2(output, STDERR_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    fcntl(ready, F_SETFD, 0) < 0)
		_exit(1);
	(void)snprintf(number, sizeof(number), "%d", ready); /* fits */
	words[count++] = d->options.argv[0];
	words[count++] = (char *)"--ready-fd"; /* execv() reads only */
	words[count++] = number;
	for (size_t i = 1; d->options.argv[i] && count < WORDS_MAX - 1; i++)
		words[count++] = d->options.argv[i];
	words[count] = NULL;
	(void)execv(path, words); /* returns only if it fails */
	(void)dprintf(STDERR_FILENO, "start %s: %s\n", path, strerror(errno));
	_exit(1);
}

static int listen_to(struct daemon *d, struct error *err)
{
	d->on_end = event_new(d->base, d->pidfd, EV_READ | EV_PERSIST, end_event, d);
	d->on_output = event_new(d->base, d->output, EV_READ | EV_PERSIST, output_event, d);
	d->on_ready = event_new(d->base, d->ready, EV_READ | EV_PERSIST, ready_event, d);
	if (!d->on_end || !d->on_output || !d->on_ready || event_add(d->on_end, NULL) < 0 ||
	    event_add(d->on_output, NULL) < 0 || event_add(d->on_ready, NULL) < 0)
		return error_set(err, ENOMEM, "listen to %s", d->options.name);
	return 0;
}

int daemon_start(struct daemon *d, struct error *err)
{
	owned_fd output_in = -1, ready_in = -1;
	int output[2], ready[2];
	char path[PATH_MAX];
	pid_t parent = getpid();

	if (sibling_find(d->options.argv[0], path, err) < 0)
		return -err->code;
	if (pipe2(output, O_CLOEXEC) < 0)
		return error_set(err, errno, "start %s", d->options.name);
	d->output = output[0];
	output_in = output[1];
	if (pipe2(ready, O_CLOEXEC) < 0) {
		(void)close(give_fd(&d->output)); /* nobody writes */
		return error_set(err, errno, "start %s", d->options.name);
	}
	d->ready = ready[0];
	ready_in = ready[1];
	d->started = false;
	d->last_count = 0;
	d->line_length = 0;
	d->since_ms = clock_boot_ms();
	d->pid = fork();
	if (d->pid == 0)
		become(d, path, output_in, ready_in, parent);
	if (d->pid < 0) {
		d->pid = 0;
		return error_set(err, errno, "start %s", d->options.name);
	}
	d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
	if (d->pidfd < 0 || fd_set_nonblocking(d->output) < 0 ||
	    fcntl(d->pidfd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(err, errno, "watch %s", d->options.name);
	return listen_to(d, err);
}

uint64_t daemon_start_later(struct daemon *d)
{
	struct timeval after;

	if (!d->wait_ms || clock_boot_ms() - d->since_ms > LONG_LIFE_MS)
		d->wait_ms = BACKOFF_MIN_MS;
	else
		d->wait_ms = d->wait_ms * 2 < BACKOFF_MAX_MS ? d->wait_ms * 2 : BACKOFF_MAX_MS;
	after = (struct timeval){(time_t)(d->wait_ms / 1000),
				 (suseconds_t)(d->wait_ms % 1000 * 1000)};
	(void)event_add(d->timer, &after); /* an event that was added before has its memory */
	return d->wait_ms;
}

void daemon_stop(struct daemon *d)
{
	const struct timeval patience = {.tv_sec = STOP_MS / 1000};

	d->stopping = true;
	(void)event_del(d->timer); /* it is ours */
	if (!d->pid)
		return;
	(void)kill(d->pid, SIGTERM);          /* it is our child: it is there */
	(void)event_add(d->timer, &patience); /* an event that was added before has its memory */
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

int daemon_new(struct event_base *base, const struct daemon_options *options,
	       const struct daemon_callbacks *callbacks, void *context, struct daemon **out,
	       struct error *err)
{
	owned(daemon) *d = calloc(1, sizeof(*d));

	if (!d)
		return error_set(err, ENOMEM, "start %s", options->name);
	d->base = base;
	d->options = *options;
	d->callbacks = callbacks;
	d->context = context;
	d->pidfd = d->output = d->ready = -1;
	d->timer = evtimer_new(base, timer_event, d);
	if (!d->timer)
		return error_set(err, ENOMEM, "start %s", options->name);
	*out = give(d);
	return 0;
}

/* Whoever still runs ends as we do. */
void daemon_free(struct daemon *d)
{
	if (d->pid) {
		(void)kill(d->pid, SIGKILL);    /* it is our child: it is there */
		(void)waitpid(d->pid, NULL, 0); /* it was killed */
	}
	drop(&d->on_end, &d->pidfd);
	drop(&d->on_output, &d->output);
	drop(&d->on_ready, &d->ready);
	if (d->timer)
		event_free(d->timer);
	free(d);
}

const char *daemon_name(const struct daemon *d)
{
	return d->options.name;
}

bool daemon_running(const struct daemon *d)
{
	return d->pid != 0;
}

bool daemon_misused(const struct daemon *d)
{
	return d->misused;
}
