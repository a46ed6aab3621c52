/* rig.h - a dispatcher made of a few answers, and `cupel` as a child that asks it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "cli/cli.h"
#include "proto/link.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RIG_SECONDS 20 /* for a whole command */
#define RIG_COLUMNS 64 /* of its terminal */

struct rig;
typedef void (*rig_answer)(struct rig *r, struct link *link, const struct frame *frame);

struct rig {
	struct event_base *base;
	struct link_listener *listener;
	struct link *links[8];
	size_t links_count;
	char folder[64], address[128];
	rig_answer answer;
	void *context; /* of the answers */
	bool terminal; /* stdout is one, of RIG_COLUMNS */
	uid_t uid;     /* that `cupel` runs as, where we are root; 0: as we do */
	pid_t pid;
	int fds[2]; /* our ends of its stdout and stderr */
	struct event *events[2];
	struct buffer texts[2];
	Cupel__Role role; /* that it said hello as */
	unsigned hellos;
	int status;
};

static struct rig rig;

static inline void rig_closed(void *context, struct link *link, const char *reason)
{
	struct rig *r = context;

	(void)reason;
	for (size_t i = 0; i < r->links_count; i++)
		if (r->links[i] == link)
			r->links[i] = r->links[--r->links_count];
	link_free(link);
}

static inline void rig_frame(void *context, struct link *link, const struct frame *frame)
{
	struct rig *r = context;
	Cupel__Welcome welcome = CUPEL__WELCOME__INIT;
	ProtobufCMessage *m;

	if (frame->type != FRAME_HELLO) {
		r->answer(r, link, frame);
		return;
	}
	assert_int_equal(message_unpack(frame, &m, NULL), 0);
	r->role = ((Cupel__Hello *)m)->role;
	r->hellos++;
	message_free(m);
	welcome.protocol = 1;
	welcome.software = (char *)"fake";
	welcome.heartbeat_ms = 5000;
	welcome.lease_ms = 60000;
	assert_int_equal(link_send(link, FRAME_WELCOME, &welcome.base), 0);
}

static inline bool rig_accept(void *context, struct link *link)
{
	static const struct link_callbacks callbacks = {.frame = rig_frame, .closed = rig_closed};
	struct rig *r = context;

	if (r->links_count == 8)
		return false;
	r->links[r->links_count++] = link;
	link_set_callbacks(link, &callbacks, r);
	return true;
}

static inline void rig_start(void)
{
	struct link_listen how = {.accept = rig_accept, .context = &rig};
	struct link_address address;
	struct error err = {0};

	memset(&rig, 0, sizeof(rig));
	snprintf(rig.folder, sizeof(rig.folder), "/tmp/cupel-cli-XXXXXX");
	assert_non_null(mkdtemp(rig.folder));
	snprintf(rig.address, sizeof(rig.address), "unix:%s/sock", rig.folder);
	rig.base = event_base_new();
	assert_int_equal(link_address_parse(rig.address, &address, &err), 0);
	assert_int_equal(link_listen(rig.base, &address, 0600, &how, &rig.listener, &err), 0);
}

static inline void rig_stop(void)
{
	while (rig.links_count)
		link_free(rig.links[--rig.links_count]);
	if (rig.listener)
		link_listener_free(rig.listener);
	event_base_free(rig.base);
	for (int i = 0; i < 2; i++)
		buffer_done(&rig.texts[i]);
	(void)unlink(rig.address + 5);
	assert_int_equal(rmdir(rig.folder), 0);
}

static inline void rig_read(evutil_socket_t fd, short what, void *context)
{
	int i = context == &rig.texts[1];
	char chunk[65536];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	(void)what;
	if (n > 0) {
		assert_int_equal(buffer_append(context, chunk, (size_t)n), 0);
		return;
	}
	event_free(rig.events[i]);
	rig.events[i] = NULL;
	close(fd);
	if (!rig.events[0] && !rig.events[1])
		event_base_loopbreak(rig.base);
}

static inline int rig_child(char **argv, int out, int err)
{
	int argc = 0;
	int null = open("/dev/null", O_RDONLY);

	dup2(null, 0);
	dup2(out, 1);
	dup2(err, 2);
	setenv("CUPEL_DISPATCHER", rig.address, 1);
	setenv("TERM", "xterm", 1);
	setenv("LC_ALL", "C", 1);
	unsetenv("CUPEL_TOKEN");
	unsetenv("NO_COLOR");
	if (rig.uid && geteuid() == 0 && setresuid(rig.uid, rig.uid, rig.uid) < 0)
		return 125;
	while (argv[argc])
		argc++;
	return cli_main(argc, argv);
}

static inline void rig_open(int i, int ends[2])
{
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	if (i == 0 && rig.terminal) {
		const struct winsize size = {.ws_row = 20, .ws_col = RIG_COLUMNS};

		close(ends[0]);
		close(ends[1]);
		ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
		ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(ends[1] >= 0 && ioctl(ends[1], TIOCSWINSZ, &size) == 0);
	}
}

/* Runs `cupel WORDS...` to its end; its exit status. */
static inline int rig_run(rig_answer answer, void *context, ...)
{
	struct timeval patience = {.tv_sec = RIG_SECONDS};
	char *argv[32] = {(char *)"cupel"};
	int ends[2][2], argc = 1, status;
	va_list args;

	va_start(args, context);
	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	rig.answer = answer;
	rig.context = context;
	for (int i = 0; i < 2; i++)
		rig_open(i, ends[i]);
	fflush(NULL);
	rig.pid = fork();
	if (rig.pid == 0)
		exit(rig_child(argv, ends[0][1], ends[1][1]));
	for (int i = 0; i < 2; i++) {
		close(ends[i][1]);
		buffer_clear(&rig.texts[i]);
		rig.events[i] = event_new(rig.base, ends[i][0], EV_READ | EV_PERSIST, rig_read,
					  &rig.texts[i]);
		assert_int_equal(event_add(rig.events[i], NULL), 0);
	}
	event_base_loopexit(rig.base, &patience);
	event_base_dispatch(rig.base);
	if (rig.events[0] || rig.events[1]) {
		kill(rig.pid, SIGKILL);
		fail_msg("cupel %s didn't end; it said: %s", argv[1],
			 rig.texts[1].data ? rig.texts[1].data : "");
	}
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	rig.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return rig.status;
}

static inline const char *rig_out(void)
{
	return rig.texts[0].data ? rig.texts[0].data : "";
}

static inline const char *rig_err(void)
{
	return rig.texts[1].data ? rig.texts[1].data : "";
}

static inline void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" isn't in: %s", part, text);
}

static inline int rig_setup(void **state)
{
	(void)state;
	rig_start();
	return 0;
}

static inline int rig_teardown(void **state)
{
	(void)state;
	rig_stop();
	return 0;
}
