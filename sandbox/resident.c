#include "sandbox/resident.h"

#include "base/owned.h"
#include "sandbox/birth.h"
#include "sandbox/network.h"
#include "sandbox/order.h"
#include "sandbox/packet.h"
#include "sandbox/priority.h"
#include "sandbox/ready_root.h"
#include "sandbox/spare_networks.h"
#include "sandbox/sys.h"
#include "sandbox/template.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* When nothing was asked for so long it is quiet. Who was given up dies a moment later. */
#define QUIET_MS      4
#define LOOK_AGAIN_MS 50

/* So many jobs' ends may be put off until it is quiet, at most; each holds four descriptors, and
 * they may have a quarter of those that there may be. From then on two are seen to for each that
 * comes. */
#define LATER_MAX   16
#define LATER_SHARE 16
#define LATER_EACH  2

/* One job's first process, until it is reaped. */
struct child {
	struct child *next;
	pid_t pid;
	int control; /* the job's end: its last word is ours */
	int go;      /* its other end hangs up when we die */
	/* Its namespaces, so that its end waits neither for the unmounting nor for the burial. */
	int mounts, network;
};

struct resident {
	int socket, caller;           /* the caller's pidfd */
	struct processors processors; /* that it may use */
	int home_mounts, home_network, ready;
	struct template_stamp stamp; /* of the ready root */
	struct ids own;              /* a user's: the namespace that this process is in */
	struct child *children;
	unsigned later, later_max; /* jobs' ends that were put off since it was quiet */
};

static int failed(struct resident_answer *a, int code, const char *what)
{
	a->code = code < 0 ? -code : code;
	(void)snprintf(a->text, sizeof(a->text), "%.479s", what);
	return -a->code;
}

static void answer(const struct resident *r, const struct resident_answer *a, int fd)
{
	int rc = packet_send(r->socket, a, sizeof(*a), &fd, fd >= 0);
	struct resident_answer other = {.id = a->id};

	if (rc == 0 || fd < 0)
		return; /* a caller who is gone shows in the next poll */
	/* He waits for an answer; whoever was born without his knowledge gets no order. */
	(void)failed(&other, rc, "answer the caller");
	(void)packet_send(r->socket, &other, sizeof(other), NULL, 0);
}

/* As the parent's namespace sees them: a user's jobs live below his own namespace, where his ids
 * are what they are called inside. */
static struct ids ids_here(const struct resident *r, const struct ids *asked)
{
	struct ids ids = *asked;

	if (!r->own.uids.count)
		return ids;
	ids.privileged = true;
	ids.helpers = false;
	for (size_t i = 0; i < IDS_RANGES_MAX; i++) {
		ids.uids.range[i].outside = ids.uids.range[i].inside;
		ids.gids.range[i].outside = ids.gids.range[i].inside;
	}
	return ids;
}

static int renew_ready_root(struct resident *r, const struct ids *ids, struct resident_answer *a)
{
	struct template_stamp now = template_stamp();
	struct error err = {0};
	int fd;

	if (r->ready >= 0 && template_is(r->stamp))
		return 0;
	fd = ready_root_new(ids, &err);
	if (fd < 0)
		return failed(a, fd, err.text);
	if (r->ready >= 0)
		(void)close(r->ready);
	r->ready = fd;
	r->stamp = now;
	return 0;
}

/* Where the child shall be born this process goes first; -1: a namespace that it makes itself. */
static int choose_network(const struct resident_ask *q, int given)
{
	if (q->network == SANDBOX_NETWORK_HOST)
		return -1;
	return given >= 0 ? given : spare_networks_take();
}

struct birth_fds {
	int control, group, network;
	const int *doors;
	size_t door_count;
};

static struct birth_fds sort(const struct resident_ask *q, const int *fds, size_t count)
{
	struct birth_fds f = {.control = *fds++, .group = -1, .network = -1};

	count--;
	if (q->has_group && count) {
		f.group = *fds++;
		count--;
	}
	if (q->has_network && count) {
		f.network = *fds++;
		count--;
	}
	f.doors = fds;
	f.door_count = count < CGROUP_DOORS_MAX ? count : CGROUP_DOORS_MAX;
	return f;
}

/* Never returns in the child. */
static pid_t make(struct resident *r, const struct resident_ask *q, const struct birth_fds *f,
		  int go, int *pidfd, bool *born_inside, int *network)
{
	int ahead = choose_network(q, f->network);
	const struct sandbox_spec spec = {.profile = q->profile, .network = q->network};
	struct plan plan = {.spec = &spec,
			    .ids = ids_here(r, &q->ids),
			    .processors = r->processors,
			    .birth = q->birth,
			    .waits = q->waits,
			    .control = f->control,
			    .go = go,
			    .input = -1,
			    .output = -1,
			    .error = -1,
			    .landlock = -1,
			    .listener = -1,
			    .root = -1,
			    .store = -1,
			    .worktree = SOURCE_NONE,
			    .system = SOURCE_NONE,
			    .door_count = f->door_count,
			    .network_ready = ahead >= 0,
			    .private_bytes = q->private_bytes,
			    .private_inodes = q->private_inodes};
	bool elsewhere = q->birth == BIRTH_READY;
	int rc = elsewhere ? filter_get(q->profile, q->deny, &plan.filter, NULL) : 0;
	pid_t pid = -1;

	*network = ahead != f->network ? ahead : -1;
	if (rc == 0)
		rc = plan_find_title(&plan);
	errno = -rc;
	memcpy(plan.door, f->doors, f->door_count * sizeof(*f->doors));
	processor_stay(&r->processors);
	if (rc == 0 && (!elsewhere || setns(r->ready, CLONE_NEWNS) == 0) &&
	    (ahead < 0 || setns(ahead, CLONE_NEWNET) == 0))
		pid = birth(r->own.uids.count ? GUISE_NONE : ids_owner(&q->ids),
			    q->network == SANDBOX_NETWORK_NONE && ahead < 0, f->group, pidfd,
			    born_inside);
	if (pid == 0) {
		init_fault = q->fault;
		init_main(&plan);
	}
	processors_use(&r->processors);
	if ((elsewhere && setns(r->home_mounts, CLONE_NEWNS) < 0) ||
	    (ahead >= 0 && setns(r->home_network, CLONE_NEWNET) < 0))
		abort(); /* it was ours a moment ago */
	return pid;
}

static struct child *child_new(const struct birth_fds *f)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->go = c->mounts = c->network = -1;
	c->control = fcntl(f->control, F_DUPFD_CLOEXEC, 3);
	if (c->control >= 0)
		return c;
	free(c);
	return NULL;
}

static void child_free(struct child *c)
{
	if (!c)
		return;
	(void)close(c->control);
	if (c->go >= 0)
		(void)close(c->go);
	if (c->mounts >= 0)
		spare_networks_bury(c->mounts);
	if (c->network >= 0)
		spare_networks_bury(c->network);
	free(c);
}

static void keep(struct resident *r, struct child *c)
{
	c->next = r->children;
	r->children = c;
}

/* Saves time at its end; it does without. */
static void hold_mounts(struct child *c)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)c->pid);
	c->mounts = open(path, O_RDONLY | O_CLOEXEC);
}

/* Where it could not be born inside: before it hears the word to go. */
static int enter_group(int group, pid_t pid, struct error *err)
{
	owned_fd fd = group < 0 ? -1 : openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", (int)pid);

	if (group >= 0 && (fd < 0 || write(fd, text, (size_t)length) != length))
		return error_set(err, errno, "put the job into its control group");
	return 0;
}

/* A child that waits for the word to go, for which all is done that only its parent can do; NULL.
 */
static struct child *start(struct resident *r, const struct resident_ask *q,
			   const struct birth_fds *f, struct resident_answer *a, int *pidfd)
{
	struct child *c = child_new(f);
	struct ids ids = ids_here(r, &q->ids);
	struct error err = {0};
	bool born_inside = false;
	int go[2], rc;

	if (!c || pipe2(go, O_CLOEXEC) < 0) {
		(void)failed(a, errno, "make a job's first process");
		child_free(c);
		return NULL;
	}
	c->go = go[1];
	c->pid = make(r, q, f, go[0], pidfd, &born_inside, &c->network);
	(void)close(go[0]);
	if (c->pid < 0) {
		(void)failed(a, errno, "make the namespaces");
		child_free(c);
		return NULL;
	}
	keep(r, c);
	rc = q->fault.step == STEP_IDMAP && q->fault.kind == FAULT_FAIL
		     ? error_set(&err, EIO, "write the user id map")
		     : ids_write(&ids, c->pid, &err);
	if (rc == 0)
		rc = priority_expose(c->pid, &err);
	if (rc == 0 && !born_inside)
		rc = enter_group(f->group, c->pid, &err);
	if (rc == 0)
		return c;
	if (!birth_has_ended(*pidfd)) {                       /* else its last word tells why */
		(void)sys_pidfd_send_signal(*pidfd, SIGKILL); /* reaped as any other */
		(void)failed(a, rc, err.text);
	}
	return NULL;
}

static void give_birth(struct resident *r, const struct resident_ask *q, const int *fds,
		       size_t count)
{
	struct resident_answer a = {.id = q->id};
	struct birth_fds f;
	struct child *c = NULL;
	owned_fd pidfd = -1;
	int rc = 0;

	if (q->outside)
		birth_stay_outside();
	if (count < 1) {
		(void)failed(&a, EPROTO, "a birth without a control socket");
		answer(r, &a, -1);
		return;
	}
	f = sort(q, fds, count);
	if (q->birth == BIRTH_READY) {
		struct ids ids = ids_here(r, &q->ids);

		ids.privileged = !r->own.uids.count;
		rc = renew_ready_root(r, &ids, &a);
	}
	if (rc == 0)
		c = start(r, q, &f, &a, &pidfd);
	/* Where it failed, too: he waits for the end. Otherwise he sends the order meanwhile. */
	answer(r, &a, pidfd);
	if (c && q->birth == BIRTH_READY)
		hold_mounts(c);
	if (c)
		(void)write(c->go, "g", 1); /* a pipe's first byte always fits */
}

static void detach(struct resident *r, const struct resident_ask *q, int fd)
{
	struct resident_answer a = {.id = q->id};
	struct source s = {.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
			   .writable = q->writable,
			   .path = (char *)q->path,
			   .device = q->device,
			   .inode = q->inode};
	int rc = source_detach(&s);

	if (rc < 0)
		(void)failed(&a, rc, q->path);
	answer(r, &a, rc < 0 ? -1 : s.fd);
	if (s.fd >= 0)
		(void)close(s.fd);
}

static void bury(struct resident *r, pid_t pid, int status, const struct rusage *usage)
{
	struct message m = {.word = WORD_REAPED, .status = status, .usage = *usage};
	struct child **at = &r->children, *c;

	while (*at && (*at)->pid != pid)
		at = &(*at)->next;
	c = *at;
	if (!c)
		return;
	*at = c->next;
	/* Nobody waits for it where control groups measure. */
	(void)send(c->control, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
	child_free(c);
}

/* Up to so many. Nobody's end is signalled: the caller knows when there is time. */
static void reap(struct resident *r, unsigned most)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while (most-- && (pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0)
		bury(r, pid, status, &usage);
}

static void tidy(struct resident *r)
{
	reap(r, UINT_MAX);
	r->later = 0;
	spare_networks_refill();
}

static void tidy_later(struct resident *r)
{
	if (++r->later > r->later_max)
		reap(r, LATER_EACH);
}

/* One wish, -EPROTO: none that is understood; -EMFILE: its descriptors are lost; 0: the caller is
 * gone. */
static int hear(const struct resident *r, int64_t until, struct resident_ask *q, int *fds,
		size_t *count)
{
	const size_t least = offsetof(struct resident_ask, path) + 1;
	ssize_t n = packet_receive(r->socket, until, q, sizeof(*q), fds, count);

	if (n == 0 || n == -EMFILE)
		return (int)n;
	return n >= (ssize_t)least && !q->path[(size_t)n - least] ? 1 : -EPROTO;
}

/* The caller waits. */
static void refuse(const struct resident *r, const struct resident_ask *q)
{
	struct resident_answer a = {.id = q->id};

	(void)failed(&a, EMFILE, "hear from the caller");
	answer(r, &a, -1);
}

/* False when the caller is gone. */
static bool serve(struct resident *r)
{
	static struct resident_ask q;
	int fds[PACKET_FDS_MAX];
	size_t count;
	int rc = hear(r, 0, &q, fds, &count);

	if (rc > 0 && q.word == ASK_BIRTH)
		give_birth(r, &q, fds, count);
	else if (rc > 0 && q.word == ASK_DETACH && count)
		detach(r, &q, fds[0]);
	else if (rc > 0 && q.word == ASK_REAP)
		reap(r, UINT_MAX);
	else if (rc > 0 && q.word == ASK_TIDY && q.later)
		tidy_later(r);
	else if (rc > 0 && q.word == ASK_TIDY)
		tidy(r);
	else if (rc == -EMFILE)
		refuse(r, &q);
	while (count)
		(void)close(fds[--count]);
	return rc != 0;
}

/* A user's launcher is root of a namespace of its own, whose ids the caller writes. */
static int become_somebody(struct resident *r, const struct resident_ask *q)
{
	struct resident_answer a = {.id = q->id, .map = true};
	static struct resident_ask mapped;
	size_t count;

	if (q->ids.privileged)
		return 0;
	/* It could not come back to a network that isn't its own. */
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0)
		return -errno;
	answer(r, &a, -1);
	if (hear(r, INT64_MAX, &mapped, NULL, &count) <= 0 || mapped.word != ASK_MAPPED)
		return -ECANCELED;
	r->own = q->ids;
	return 0;
}

static unsigned later_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 0;
	return files.rlim_cur / LATER_SHARE < LATER_MAX ? (unsigned)files.rlim_cur / LATER_SHARE
							: LATER_MAX;
}

static int set_up(struct resident *r, const struct resident_ask *q, struct resident_answer *a)
{
	sigset_t all;
	int rc = become_somebody(r, q);
	struct ids ids = ids_here(r, &q->ids);

	if (rc < 0)
		return failed(a, rc, "make a user namespace");
	r->later_max = later_max();
	processors_get(&r->processors);
	if (q->ids.privileged)
		guise_settle();
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL); /* whom the caller obeys is his affair */
	sys_default_signals();                      /* what he ignores is not the jobs' */
	r->home_mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	r->home_network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (r->home_mounts < 0 || r->home_network < 0)
		return failed(a, errno, "open its own namespaces");
	ids.privileged = q->ids.privileged;
	rc = renew_ready_root(r, &ids, a);
	if (rc < 0)
		return rc;
	rc = spare_networks_start(q->networks);
	/* The thread's and this one's root directory part: only then may this one change mounts. */
	if (rc < 0 || unshare(CLONE_FS) < 0)
		return failed(a, rc ? rc : errno, "start its thread");
	return 0;
}

static bool greet(struct resident *r)
{
	struct resident_hello hello = {.version = CUPEL_VERSION,
				       .order = sizeof(struct plan),
				       .ask = sizeof(struct resident_ask)};
	struct resident_answer a = {0};
	static struct resident_ask q;
	size_t count;

	if (packet_send(r->socket, &hello, sizeof(hello), NULL, 0) < 0 ||
	    hear(r, INT64_MAX, &q, NULL, &count) <= 0 || q.word != ASK_SETUP)
		return false;
	a.id = q.id;
	(void)set_up(r, &q, &a);
	answer(r, &a, -1);
	return a.code == 0;
}

/* Whoever made the socket is the caller; he may have died by now. */
static int open_caller(int socket)
{
	struct ucred caller;
	socklen_t length = sizeof(caller);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &caller, &length) < 0 ||
	    caller.pid != getppid())
		return -1;
	return (int)syscall(SYS_pidfd_open, caller.pid, 0);
}

int resident_main(int socket)
{
	struct resident r = {.socket = socket, .ready = -1, .caller = open_caller(socket)};
	int timeout = -1;

	if (r.caller < 0) {
		(void)fputs("cupel-sandbox: --resident is how the library starts its launcher; it "
			    "is of no use by hand\n",
			    stderr);
		return 125;
	}
	(void)fcntl(socket, F_SETFD, FD_CLOEXEC);
	(void)setsid(); /* the terminal's signals are the caller's to handle */
	(void)prctl(PR_SET_NAME, "cupel-launcher");
	if (!greet(&r))
		return 125;
	for (;;) {
		struct pollfd wait[] = {{.fd = r.socket, .events = POLLIN},
					{.fd = r.caller, .events = POLLIN}};

		if (poll(wait, 2, timeout) > 0) {
			timeout = QUIET_MS;
		} else {
			tidy(&r);
			timeout = timeout == QUIET_MS ? LOOK_AGAIN_MS : -1;
		}
		if (wait[1].revents || (wait[0].revents && !serve(&r)))
			return 0; /* the children go with this process */
	}
}
