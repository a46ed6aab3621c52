#include "cli/terminal.h"

#include "base/fd.h"
#include "cli/utf8.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *const sequences[] = {
	[STYLE_PLAIN] = "",          [STYLE_BOLD] = "\033[1m",  [STYLE_DIM] = "\033[2m",
	[STYLE_GOOD] = "\033[32m",   [STYLE_BAD] = "\033[31m",  [STYLE_LIMIT] = "\033[35m",
	[STYLE_BROKEN] = "\033[33m", [STYLE_LIVE] = "\033[36m",
};

enum style style_of_verdict(Cupel__Verdict verdict)
{
	switch (verdict) {
	case CUPEL__VERDICT__VERDICT_NONE:
		return STYLE_LIVE;
	case CUPEL__VERDICT__VERDICT_PASSED:
		return STYLE_GOOD;
	case CUPEL__VERDICT__VERDICT_FAILED:
		return STYLE_BAD;
	case CUPEL__VERDICT__VERDICT_TIMED_OUT:
	case CUPEL__VERDICT__VERDICT_KILLED:
		return STYLE_LIMIT;
	case CUPEL__VERDICT__VERDICT_ERRORED:
	case CUPEL__VERDICT__VERDICT_LOST:
		return STYLE_BROKEN;
	default:
		return STYLE_DIM;
	}
}

void terminal_open(struct terminal *t, int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;

	*t = (struct terminal){.fd = fd, .tty = isatty(fd)};
	if (!t->tty)
		return;
	t->colour = (!no_color || !*no_color) && term && strcmp(term, "dumb") != 0;
	t->width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

int style_on(struct buffer *out, enum style style, bool colour)
{
	return buffer_append(out, sequences[style], colour ? strlen(sequences[style]) : 0);
}

int style_off(struct buffer *out, enum style style, bool colour)
{
	return buffer_append(out, "\033[0m", colour && style != STYLE_PLAIN ? 4 : 0);
}

/* As if the write itself had killed us: what a pipeline expects of its members. */
static void end_by_sigpipe(void)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_DFL); /* can't fail for this signal */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGPIPE);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)raise(SIGPIPE);
}

static int write_all(struct terminal *t, const void *bytes, size_t length)
{
	int rc = fd_write_all(t->fd, bytes, length);

	if (rc == -EPIPE)
		end_by_sigpipe();
	return rc;
}

int terminal_write(struct terminal *t, const void *bytes, size_t length)
{
	if (t->live) {
		t->live = false;
		(void)write_all(t, "\r\033[K", 4); /* the write behind it tells what is wrong */
	}
	return write_all(t, bytes, length);
}

void terminal_live(struct terminal *t, const char *text)
{
	owned_buffer line = {0};

	if (!t->tty)
		return;
	t->live = true;
	if (buffer_printf(&line, "\r\033[K%.*s", (int)utf8_fit(text, t->width - 1), text) == 0)
		(void)write_all(t, line.data, line.length); /* only a convenience */
}
