#include "sandbox/launcher.h"

#include "base/clock.h"
#include "base/fd.h"
#include "sandbox/aside.h"
#include "sandbox/launcher_talk.h"
#include "sandbox/packet.h"
#include "sandbox/surroundings.h"
#include "sandbox/sys.h"
#include "sandbox/turn.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PROGRAM          "cupel-sandbox"
#define NETWORKS_DEFAULT 4
#define READY_MAX        16

struct start {
	const char *program;
	int socket;
	pid_t pid;
	int pidfd, code;
};

static int execute(void *argument)
{
	struct start *s = argument;
	const char *const argv[] = {PROGRAM, "--resident", NULL};
	const char *const env[] = {NULL};
	int null = open("/dev/null", O_RDWR);

	sys_default_signals();
	for (int i = 0; i < RESIDENT_SOCKET; i++)
		(void)dup2(null, i); /* it has nothing to say there */
	if (dup2(s->socket, RESIDENT_SOCKET) < 0 || fcntl(RESIDENT_SOCKET, F_SETFD, 0) < 0 ||
	    sys_close_range(RESIDENT_SOCKET + 1, ~0U, 0) < 0 ||
	    execve(s->program, (char *const *)argv, (char *const *)env) < 0)
		s->code = errno;
	_exit(127);
}

static int find_program(char *out, size_t size, struct error *err)
{
	char *slash;
	ssize_t n = readlink("/proc/self/exe", out, size - 1);

	out[n < 0 ? 0 : n] = '\0';
	slash = strrchr(out, '/');
	if (slash && (size_t)(slash + 1 - out) + sizeof(PROGRAM) <= size) {
		memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
		if (access(out, X_OK) == 0)
			return 0;
	}
	(void)snprintf(out, size, "%s", CUPEL_BINDIR "/" PROGRAM);
	if (access(out, X_OK) == 0)
		return 0;
	return error_set(err, errno,
			 "the launcher's program %s (install it, put it beside this program, or "
			 "name it)",
			 out);
}

static int spawn(struct sandbox_launcher *l, const char *program, struct error *err)
{
	int both[2], rc;
	struct start s = {.program = program, .pidfd = -1};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) < 0)
		return error_set(err, errno, "make the launcher's socket");
	l->socket = both[0];
	s.socket = fcntl(both[1], F_DUPFD_CLOEXEC, RESIDENT_SOCKET + 1);
	(void)close(both[1]);
	rc = s.socket < 0 ? -errno : aside_leave(execute, &s, &l->pid, &l->pidfd);
	if (s.socket >= 0)
		(void)close(s.socket);
	if (rc == 0)
		rc = -s.code;
	return rc < 0 ? error_set(err, -rc, "start the launcher %s", program) : 0;
}

int launcher_died(struct error *err)
{
	return error_say(err, ECHILD,
			 "the launcher died, and its jobs with it; make another one (was it "
			 "killed, or the box short of memory?)");
}

static int greet(struct sandbox_launcher *l, struct error *err)
{
	struct resident_hello hello;
	size_t count;
	ssize_t n = packet_receive(l->socket, clock_boot_ms() + ANSWER_MS, &hello, sizeof(hello),
				   NULL, &count);

	if (n == sizeof(hello) && strcmp(hello.version, CUPEL_VERSION) == 0 &&
	    hello.order == sizeof(struct plan) && hello.ask == sizeof(struct resident_ask))
		return 0;
	return error_say(err, n == 0 ? ECHILD : EPROTO,
			 "the launcher's program doesn't answer as one of this version (%s) does; "
			 "install program and library together",
			 CUPEL_VERSION);
}

static int set_up(struct sandbox_launcher *l, unsigned networks, struct error *err)
{
	struct resident_ask q = {
		.word = ASK_SETUP, .id = ++l->last_id, .ids = l->ids, .networks = networks};
	struct resident_answer a = {0};
	int fd, rc = talk_ask(l, &q, NULL, 0, err);

	if (rc == 0)
		rc = talk_await(l, q.id, &a, &fd, err);
	if (rc < 0 || !a.map)
		return rc;
	rc = ids_write(&l->ids, l->pid, err);
	q.word = ASK_MAPPED;
	if (rc == 0)
		rc = talk_ask(l, &q, NULL, 0, err);
	return rc < 0 ? rc : talk_await(l, q.id, &a, &fd, err);
}

static int look_around(struct sandbox_launcher *l, struct error *err)
{
	const struct sandbox_spec usual = {0};
	int rc;

	turn_take();
	(void)cgroup_can(); /* who shall step aside in his control group must be alone in it */
	rc = surroundings_check(err);
	if (rc == 0)
		rc = ids_choose(&usual, &l->ids, err);
	turn_end();
	return rc;
}

int sandbox_launcher_new(const struct sandbox_launcher_options *options,
			 struct sandbox_launcher **out, struct error *err)
{
	owned(sandbox_launcher) *l = calloc(1, sizeof(*l));
	char found[PATH_MAX];
	const char *program = options ? options->program : NULL;
	int rc;

	if (!l)
		return error_set(err, ENOMEM, "start the launcher");
	l->socket = l->pidfd = -1;
	if (options && (options->networks > RESIDENT_NETWORKS_MAX || options->ready > READY_MAX))
		return error_say(err, EINVAL, "a launcher keeps up to %d networks and %d sandboxes",
				 RESIDENT_NETWORKS_MAX, READY_MAX);
	l->owner = getpid();
	l->user = geteuid();
	if (options)
		l->ready_wanted = options->ready;
	rc = look_around(l, err);
	if (rc == 0 && !program)
		rc = find_program(found, sizeof(found), err);
	if (rc == 0)
		rc = spawn(l, program ? program : found, err);
	if (rc == 0)
		rc = greet(l, err);
	if (rc == 0)
		rc = set_up(l, options ? options->networks : NETWORKS_DEFAULT, err);
	if (rc < 0)
		return rc;
	*out = give(l);
	return 0;
}

pid_t sandbox_launcher_pid(const struct sandbox_launcher *l)
{
	return l->pid;
}

static void end_process(const struct sandbox_launcher *l)
{
	struct pollfd wait = {.fd = l->pidfd, .events = POLLIN};

	(void)sys_pidfd_send_signal(l->pidfd, SIGKILL);
	while (poll(&wait, 1, -1) < 0 && errno == EINTR)
		;
	/* The caller's own waiting may have met it before. */
	while (waitid((idtype_t)P_PIDFD, (id_t)l->pidfd, NULL, WEXITED | __WALL) < 0 &&
	       errno == EINTR)
		;
}

/* In a fork of the caller: what waits is the caller's. */
static void forget_all(struct sandbox_launcher *l)
{
	for (struct first *b = l->births; b; b = b->next) {
		cgroup_forget(give(b->cg));
		if (b->pidfd >= 0)
			(void)close(give_fd(&b->pidfd));
	}
	cgroup_forget(give(l->spare));
	graves_forget(&l->graves);
}

void sandbox_launcher_free(struct sandbox_launcher *l)
{
	if (!l)
		return;
	if (l->socket >= 0)
		(void)close(l->socket);
	if (l->owner != getpid())
		forget_all(l);
	else if (l->pidfd >= 0)
		end_process(l);
	while (l->births)
		first_free(l, first_take(l, l->births));
	graves_add(&l->graves, l->spare);
	graves_done(&l->graves);
	if (l->pidfd >= 0)
		(void)close(l->pidfd);
	free(l->parent);
	free(l);
}
