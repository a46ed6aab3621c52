#include "observer/remote.h"

#include "base/fd.h"
#include "base/leftovers.h"
#include "observer/git.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* What the child says when nothing went wrong; all else is a complaint. */
#define WELL "+"

struct remote {
	pid_t pid; /* 0: none */
	int pipe;  /* what the child says; its end is the child's */
	struct event *readable, *late;
	struct buffer said;
	struct remote_options options;
	bool timed_out;
};

/* --- the child ---------------------------------------------------------- */

__attribute__((noreturn)) static void child(const struct remote_options *o, int out, pid_t parent)
{
	struct error err = {0};
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(out, 3) < 0)
		_exit(1);
	(void)close_range(4, ~0u, 0); /* links, inotify, locks: the parent's */
	leftovers_clear(o->mirror);   /* an earlier fetch may have been ended in the middle */
	if (gitdir_fetch(o->mirror, o->url, &err) == 0)
		(void)snprintf(err.text, sizeof(err.text), "%s", WELL);
	(void)fd_write_all(3, err.text, strlen(err.text)); /* silence is told as such */
	_exit(0);
}

/* --- the parent --------------------------------------------------------- */

static void reap(struct remote *r, int *status)
{
	while (r->pid > 0 && waitpid(r->pid, status, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
}

static void finish(struct remote *r)
{
	int status = 0;
	char text[600] = "";

	(void)event_del(r->readable);
	(void)event_del(r->late);
	reap(r, &status);
	if (r->timed_out)
		(void)snprintf(text, sizeof(text), "fetch from %.300s: no end after %llu s",
			       r->options.url, (unsigned long long)r->options.deadline_ms / 1000);
	else if (r->said.length && strcmp(r->said.data, WELL) != 0)
		(void)snprintf(text, sizeof(text), "%s", r->said.data);
	else if (!r->said.length)
		(void)snprintf(text, sizeof(text),
			       "fetch from %.300s: its process died (status %#x)", r->options.url,
			       (unsigned)status);
	r->options.done(r->options.context, *text ? text : NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;
	char bytes[600];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		finish(r);
	else if (r->said.length + (size_t)n <= sizeof(bytes))
		(void)buffer_append(&r->said, bytes,
				    (size_t)n); /* without it: told as a silent failure */
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd;
	(void)what;
	r->timed_out = true;
	(void)kill(r->pid, SIGKILL); /* the pipe's end tells the rest */
}

static int fork_child(struct remote *r, struct error *err)
{
	int ends[2];
	pid_t parent = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, errno, "fetch");
	r->pid = fork();
	if (r->pid == 0)
		child(&r->options, ends[1], parent);
	close(ends[1]);
	r->pipe = ends[0];
	if (r->pid < 0) {
		r->pid = 0;
		return error_set(err, errno, "fetch");
	}
	return fd_set_nonblocking(r->pipe);
}

int remote_start(struct event_base *base, const struct remote_options *options, struct remote **out,
		 struct error *err)
{
	owned(remote) *r = calloc(1, sizeof(*r));
	struct timeval deadline = {.tv_sec = (time_t)(options->deadline_ms / 1000),
				   .tv_usec = (suseconds_t)(options->deadline_ms % 1000 * 1000)};
	int rc;

	if (!r)
		return error_set(err, ENOMEM, "fetch");
	r->options = *options;
	r->pipe = -1;
	rc = fork_child(r, err);
	if (rc < 0)
		return rc;
	r->readable = event_new(base, r->pipe, EV_READ | EV_PERSIST, on_readable, r);
	r->late = event_new(base, -1, 0, on_late, r);
	if (!r->readable || !r->late || event_add(r->readable, NULL) < 0 ||
	    event_add(r->late, &deadline) < 0)
		return error_set(err, ENOMEM, "fetch");
	*out = give(r);
	return 0;
}

void remote_free(struct remote *r)
{
	int status;

	if (!r)
		return;
	if (r->pid > 0)
		(void)kill(r->pid, SIGKILL);
	reap(r, &status);
	if (r->readable)
		event_free(r->readable);
	if (r->late)
		event_free(r->late);
	if (r->pipe >= 0)
		close(r->pipe);
	buffer_done(&r->said);
	free(r);
}

/* --- URLs --------------------------------------------------------------- */

bool remote_is_url(const char *text)
{
	const char *colon = strchr(text, ':');
	const char *slash = strchr(text, '/');

	if (strstr(text, "://"))
		return true;
	return *text != '/' && *text != '.' && colon && (!slash || colon < slash);
}

int remote_check_url(const char *url, struct error *err)
{
	static const char *const known[] = {"http", "https", "git", "ssh", "file"};
	const char *rest = strstr(url, "://");
	bool found = !rest;

	for (size_t i = 0; !found && i < sizeof(known) / sizeof(*known); i++)
		found = strlen(known[i]) == (size_t)(rest - url) &&
			strncmp(url, known[i], strlen(known[i])) == 0;
	if (!found)
		return error_say(
			err, EINVAL,
			"repository %.200s: unknown kind of URL: there are https, http, git, ssh, "
			"file",
			url);
	if (rest) {
		const char *end = rest + 3 + strcspn(rest + 3, "/");
		const char *at = memchr(rest + 3, '@', (size_t)(end - rest - 3));

		if (at && memchr(rest + 3, ':', (size_t)(at - rest - 3)))
			return error_say(
				err, EINVAL,
				"repository %.*s://...: its URL holds a password, which everybody "
				"who may see runs would see: use ssh with an agent instead",
				(int)(rest - url), url);
	}
	return 0;
}
