#include "sandbox/launch.h"

#include "base/clock.h"
#include "sandbox/birth.h"
#include "sandbox/init.h"
#include "sandbox/launcher.h"
#include "sandbox/network.h"
#include "sandbox/order.h"
#include "sandbox/packet.h"
#include "sandbox/priority.h"
#include "sandbox/sys.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* A child that says nothing for so long will not: the box is frozen, or worse. */
#define START_TIMEOUT_MS 30000

/* Who isn't dead so long after he was killed waits for a disk, or stands in a frozen control group.
 */
#define END_TIMEOUT_MS 5000

/* The job's standard descriptors are put at 0 to 2 by dup2: nothing else may be there. */
static int above_stdio(int *fd)
{
	int high;

	if (*fd < 0 || *fd > 2)
		return 0;
	high = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (high < 0)
		return -errno;
	(void)close(*fd);
	*fd = high;
	return 0;
}

static int above_all(int *first, int *second)
{
	int rc = above_stdio(first);

	return rc < 0 ? rc : above_stdio(second);
}

/* What the plan opened may have come to stand where the caller had nothing. */
static int sources_above_stdio(struct plan *plan)
{
	int rc = above_all(&plan->worktree.fd, &plan->system.fd);

	if (rc == 0)
		rc = above_stdio(&plan->root);
	for (size_t i = 0; i < plan->bind_count && rc == 0; i++)
		rc = above_stdio(&plan->binds[i].fd);
	return rc;
}

static int make_pipe(int *read_end, int *write_end)
{
	int both[2], rc;

	if (pipe2(both, O_CLOEXEC) < 0)
		return -errno;
	*read_end = both[0];
	*write_end = both[1];
	rc = above_all(read_end, write_end);
	return rc < 0 || fcntl(*read_end, F_SETFL, O_NONBLOCK) == 0 ? rc : -errno;
}

static int make_control(int *ours, int *theirs)
{
	int both[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) < 0)
		return -errno;
	*ours = both[0];
	*theirs = both[1];
	return above_all(ours, theirs);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void close_childs(struct plan *plan, struct launched *l)
{
	if (plan->error >= 0 && plan->error != plan->output)
		l->written[1] = plan->error;
	if (plan->output >= 0)
		l->written[0] = plan->output;
	plan->output = plan->error = -1;
	while (plan->door_count)
		(void)close(plan->door[--plan->door_count]);
	close_one(&plan->control);
	close_one(&plan->input);
}

static int take_reserve(struct launched *l, int any)
{
	for (size_t i = 0; i < LAUNCH_RESERVE; i++) {
		l->reserve[i] = fcntl(any, F_DUPFD_CLOEXEC, 3);
		if (l->reserve[i] < 0)
			return -errno;
	}
	return 0;
}

/* For `count` that come next. */
static void give_way(struct launched *l, size_t count)
{
	for (size_t i = 0; i < LAUNCH_RESERVE && count > 0; i++)
		if (l->reserve[i] >= 0) {
			close_one(&l->reserve[i]);
			count--;
		}
}

void launched_done(struct launched *l)
{
	give_way(l, LAUNCH_RESERVE);
	close_one(&l->pidfd);
	close_one(&l->control);
	close_one(&l->output[0]);
	close_one(&l->output[1]);
	close_one(&l->written[0]);
	close_one(&l->written[1]);
	close_one(&l->listener);
}

static int make_ends(struct plan *plan, struct launched *l, struct error *err)
{
	int rc = sources_above_stdio(plan);

	if (rc == 0 && l->control < 0)
		rc = make_control(&l->control, &plan->control);

	if (rc == 0)
		rc = make_pipe(&l->output[0], &plan->output);
	if (rc == 0 && plan->spec->merge_output)
		plan->error = plan->output;
	else if (rc == 0)
		rc = make_pipe(&l->output[1], &plan->error);
	if (rc == 0) {
		plan->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
		rc = plan->input < 0 ? -errno : above_stdio(&plan->input);
	}
	if (rc == 0)
		rc = take_reserve(l, plan->input);
	return rc < 0 ? error_set(err, -rc, "make the job's pipes") : 0;
}

/* A namespace that was made ahead is entered for the birth: the child has no right to. */
static pid_t make_child(struct plan *plan, struct cgroup *cg, struct launched *l, bool *born_inside)
{
	bool wanted = plan->spec->network == SANDBOX_NETWORK_NONE;
	bool ahead = wanted && plan->spec->network_open;
	int home = ahead ? network_enter(plan->spec->network_fd, NULL) : -1;
	pid_t pid;
	int code;

	if (ahead && home < 0) {
		errno = -home;
		return -1;
	}
	plan->network_ready = ahead;
	pid = birth(ids_owner(&plan->ids), wanted && !ahead, cgroup_birth(cg), &l->pidfd,
		    born_inside);
	code = errno;
	if (pid == 0 || !ahead)
		return pid;
	if (setns(home, CLONE_NEWNET) < 0) /* it was ours a moment ago */
		abort();
	(void)close(home);
	errno = code;
	return pid;
}

static bool dies(int pidfd)
{
	int64_t until = clock_boot_ms() + END_TIMEOUT_MS;
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};
	int rc;

	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	do {
		int64_t left = until - clock_boot_ms();

		rc = poll(&wait, 1, left > 0 ? (int)left : 0);
	} while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static int say_left(const char *groups, int rc, struct error *err)
{
	return error_say(err, rc < 0 ? -rc : ETIMEDOUT,
			 "%s%sthe job's first process doesn't die: it waits for a disk, or stands "
			 "in a frozen control group; once it does, sandbox_remove() removes its "
			 "groups, %s",
			 rc < 0 && err ? err->text : "", rc < 0 ? "; and " : "", groups);
}

int launched_kill(struct launched *l, const char *groups, int rc, struct error *err)
{
	if (l->pidfd >= 0 && !dies(l->pidfd))
		rc = say_left(groups, rc, err);
	else if (l->pid > 0) /* the launcher reaps its own */
		while (waitpid(l->pid, &l->status, __WALL) < 0 && errno == EINTR)
			;
	launched_done(l);
	return rc;
}

/* One message of the child within the time left; 0 when there is none. */
static int receive(struct launched *l, int64_t until, struct message *out)
{
	int fds[PACKET_FDS_MAX];
	size_t count;
	ssize_t n = packet_receive(l->control, until, out, sizeof(*out), fds, &count);

	if (n == sizeof(*out) && out->word == WORD_READY && count == 1)
		l->listener = fds[--count];
	while (count)
		(void)close(fds[--count]);
	return n < 0 ? (int)n : n == sizeof(*out);
}

/* The socket of one that died hangs up: but the launcher's not before it is reaped. */
static void await_word(const struct launched *l, int64_t until)
{
	struct pollfd wait[] = {{.fd = l->control, .events = POLLIN},
				{.fd = l->pidfd, .events = POLLIN}};
	int64_t left = until - clock_boot_ms();

	if (l->launcher && poll(wait, 2, left > 0 ? (int)left : 0) > 0 && !wait[0].revents)
		launcher_reap(l->launcher);
}

static int handshake(struct launched *l, struct message *failure, struct error *err)
{
	int64_t until = clock_boot_ms() + START_TIMEOUT_MS;

	give_way(l, 1);
	for (;;) {
		struct message m = {0};
		int rc;

		await_word(l, until);
		rc = receive(l, until, &m);
		if (rc == -ETIMEDOUT)
			return error_say(
				err, ETIMEDOUT,
				"the sandbox was not set up within %d seconds: the host is "
				"overloaded or the control group frozen",
				START_TIMEOUT_MS / 1000);
		if (rc < 0)
			return error_set(err, -rc, "hear from the sandbox's first process");
		if (rc == 0 && l->launcher && !l->reaped)
			return launcher_died(err);
		if (rc == 0)
			return error_say(err, ECHILD,
					 "the sandbox's first process died while it was set up; "
					 "the memory limit may be too small even for that");
		if (m.word == WORD_READY) {
			l->may_have_run = true;
			return 0;
		}
		if (m.word == WORD_FAILED) {
			*failure = m;
			return 0;
		}
		if (m.word == WORD_REAPED) {
			l->reaped = true;
			l->status = m.status;
		}
		if (m.word == WORD_HALTED) /* whoever tests goes on from here */
			(void)raise(SIGSTOP);
	}
}

/* What only the parent can do for the child, then the word to go. */
static int prepare(struct plan *plan, struct cgroup *cg, struct launched *l, struct error *err)
{
	int rc = init_fault.step == STEP_IDMAP ? error_set(err, EIO, "write the user id map")
					       : ids_write(&plan->ids, l->pid, err);

	if (rc == 0)
		rc = priority_expose(l->pid, err);
	if (rc == 0 && !l->born_inside)
		rc = cgroup_enter(cg, l->pid, err);
	if (rc < 0 && birth_has_ended(l->pidfd))
		return 0; /* as below */
	/* EPIPE: it has given up already, and its last word tells why. */
	if (rc == 0 && send(l->control, "g", 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		rc = error_set(err, errno, "start the sandbox's first process");
	return rc;
}

static int clone_failed(struct error *err)
{
	int code = errno;
	const char *remedy = step_remedy(STEP_CLONE, code);

	error_set(err, code, "make the namespaces");
	if (remedy && err)
		(void)snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text),
			       "; %s", remedy);
	return -code;
}

/* From this process. */
static int bear(struct plan *plan, struct cgroup *cg, struct launched *l, struct error *err)
{
	int rc = cgroup_doors(cg, plan->door, &plan->door_count, err);

	if (rc < 0)
		return rc;
	l->pid = make_child(plan, cg, l, &l->born_inside);
	if (l->pid == 0)
		init_main(plan);
	if (l->pid > 0)
		return 0;
	l->pid = 0;
	return clone_failed(err);
}

/* From the launcher. Who can't be killed from here gets no order: without one he ends when his
 * control socket hangs up. */
static int await_birth(const struct plan *plan, struct launched *l, struct error *err)
{
	int rc;

	give_way(l, 1);
	rc = launcher_await(l->launcher, l, err);
	if (rc < 0)
		return rc;
	rc = order_send(l->control, plan);
	if (rc < 0 && rc != -EPIPE) /* he has given up already, and his last word tells why */
		return error_set(err, -rc, "give the job's plan");
	return 0;
}

int launch_begin(struct plan *plan, struct sandbox_launcher *launcher, struct cgroup *cg,
		 struct launched *l, struct error *err)
{
	int rc;

	l->launcher = launcher;
	rc = make_ends(plan, l, err);
	if (rc == 0 && !launcher) {
		rc = bear(plan, cg, l, err);
		close_childs(plan, l);
	}
	if (rc == 0)
		return 0;
	close_childs(plan, l);
	launched_done(l);
	return rc;
}

int launch_end(struct plan *plan, struct cgroup *cg, struct launched *l, struct message *failure,
	       struct error *err)
{
	int rc = l->launcher ? await_birth(plan, l, err) : prepare(plan, cg, l, err);

	*failure = (struct message){0};
	close_childs(plan, l);
	if (rc == 0)
		rc = handshake(l, failure, err);
	if (rc < 0 || failure->word == WORD_FAILED)
		rc = launched_kill(l, cgroup_name(cg), rc, err);
	give_way(l, LAUNCH_RESERVE);
	return rc;
}
