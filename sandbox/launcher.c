#include "sandbox/launcher.h"

#include "base/clock.h"
#include "base/fd.h"
#include "sandbox/aside.h"
#include "sandbox/graves.h"
#include "sandbox/packet.h"
#include "sandbox/resident.h"
#include "sandbox/sys.h"
#include "sandbox/template.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROGRAM          "cupel-sandbox"
#define NETWORKS_DEFAULT 4
#define READY_MAX        16
#define ANSWER_MS        30000

/* A job's first process that was asked for. */
struct first {
	struct first *next;
	uint32_t id;
	int control, pidfd; /* owned until they are handed out */
	bool answered;
	bool forgotten; /* its job is over already */
	int code;       /* why it wasn't born */
	char text[480];
	/* Of those that wait: */
	struct cgroup *cg;
	struct ids ids;
	bool nested;
	struct template_stamp stamp;
	struct sandbox_limits limits; /* that its groups hold already */
};

struct sandbox_launcher {
	pid_t owner; /* a fork of it shares the socket, and must not use it */
	uid_t user;
	pid_t pid;
	int socket, pidfd;
	struct ids ids;
	uint32_t last_id;
	struct first *births; /* asked for, and not handed out */
	unsigned ready_wanted;
	/* What the last job was like: so are those that are made ahead. */
	bool has_model, nested;
	struct ids model_ids;
	struct sandbox_limits model;
	uint64_t private_bytes, private_inodes;
	char *parent;
	struct graves graves;
};

/* --- its process ------------------------------------------------------------------------------ */

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

	for (int i = 1; i < _NSIG; i++)
		(void)signal(i, SIG_DFL); /* refused for SIGKILL and SIGSTOP */
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

/* --- what is said to it ------------------------------------------------------------------------
 */

static struct first *find(struct sandbox_launcher *l, uint32_t id)
{
	struct first *b = l->births;

	while (b && b->id != id)
		b = b->next;
	return b;
}

/* One that waits, or will never be waited for: it has no job to lose. */
static void first_free(struct sandbox_launcher *l, struct first *b)
{
	if (b->control >= 0)
		(void)close(b->control);
	if (b->pidfd >= 0) {
		(void)sys_pidfd_send_signal(b->pidfd, SIGKILL);
		(void)close(b->pidfd);
	}
	graves_add(&l->graves, b->cg);
	free(b);
}

static struct first *take(struct sandbox_launcher *l, struct first *b)
{
	struct first **at = &l->births;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	return b;
}

/* Nobody waits for it any more: it must not live on. */
static void refuse(int pidfd)
{
	if (pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	(void)close(pidfd);
}

static void note(struct sandbox_launcher *l, const struct resident_answer *a, int fd)
{
	struct first *b = find(l, a->id);

	if (!b || b->forgotten) {
		refuse(fd);
		if (b)
			first_free(l, take(l, b));
		return;
	}
	b->answered = true;
	b->code = a->code;
	b->pidfd = fd;
	memcpy(b->text, a->text, sizeof(b->text));
}

/* One answer, of births kept for whoever waits for them; -errno. */
static int hear(struct sandbox_launcher *l, int64_t until, struct resident_answer *out, int *fd,
		struct error *err)
{
	int fds[PACKET_FDS_MAX];
	size_t count;
	ssize_t n = packet_receive(l->socket, until, out, sizeof(*out), fds, &count);

	*fd = count ? fds[0] : -1;
	if (n == sizeof(*out))
		return 0;
	if (n == 0)
		return launcher_died(err);
	return error_set(err, n < 0 ? (int)-n : EPROTO, "hear from the launcher");
}

/* What has come: unread answers would fill the socket. */
static void hear_all(struct sandbox_launcher *l)
{
	struct pollfd wait = {.fd = l->socket, .events = POLLIN};
	struct resident_answer a;
	int fd;

	while (poll(&wait, 1, 0) > 0 && hear(l, 0, &a, &fd, NULL) == 0)
		note(l, &a, fd);
}

/* The answer to `id`; those that come before it are noted. */
static int await(struct sandbox_launcher *l, uint32_t id, struct resident_answer *out, int *fd,
		 struct error *err)
{
	int64_t until = clock_boot_ms() + ANSWER_MS;

	for (;;) {
		int rc = hear(l, until, out, fd, err);

		if (rc < 0)
			return rc;
		if (out->id == id)
			return out->code ? error_set(err, out->code, "%s", out->text) : 0;
		note(l, out, *fd);
	}
}

static int ask(struct sandbox_launcher *l, const struct resident_ask *q, const int *fds,
	       size_t count, struct error *err)
{
	int rc = packet_send(l->socket, q, sizeof(*q), fds, count);

	if (rc == -EPIPE || rc == -ECONNRESET)
		return launcher_died(err);
	return rc < 0 ? error_set(err, -rc, "speak to the launcher") : 0;
}

/* --- its life -----------------------------------------------------------------------------------
 */

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
	struct resident_answer a;
	int fd, rc = ask(l, &q, NULL, 0, err);

	if (rc == 0)
		rc = await(l, q.id, &a, &fd, err);
	if (rc < 0 || !a.map)
		return rc;
	rc = ids_write(&l->ids, l->pid, err);
	q.word = ASK_MAPPED;
	if (rc == 0)
		rc = ask(l, &q, NULL, 0, err);
	return rc < 0 ? rc : await(l, q.id, &a, &fd, err);
}

int sandbox_launcher_new(const struct sandbox_launcher_options *options,
			 struct sandbox_launcher **out, struct error *err)
{
	owned(sandbox_launcher) *l = calloc(1, sizeof(*l));
	const struct sandbox_spec usual = {0};
	char found[PATH_MAX];
	const char *program = options ? options->program : NULL;
	int rc;

	if (!l)
		return error_set(err, ENOMEM, "start the launcher");
	l->socket = l->pidfd = -1;
	l->owner = getpid();
	l->user = geteuid();
	(void)cgroup_can(); /* a user is still alone in his group */
	if (options)
		l->ready_wanted = options->ready < READY_MAX ? options->ready : READY_MAX;
	(void)cgroup_can(); /* who shall step aside in his control group must be alone in it */
	rc = program ? 0 : find_program(found, sizeof(found), err);
	if (rc == 0)
		rc = ids_choose(&usual, &l->ids, err);
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
		first_free(l, take(l, l->births));
	graves_done(&l->graves);
	if (l->pidfd >= 0)
		(void)close(l->pidfd);
	free(l->parent);
	free(l);
}

/* --- births -------------------------------------------------------------------------------------
 */

static struct first *new_first(struct sandbox_launcher *l)
{
	struct first *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->id = ++l->last_id;
	b->control = b->pidfd = -1;
	return b;
}

static void add(struct sandbox_launcher *l, struct first *b)
{
	struct first **end = &l->births;

	while (*end)
		end = &(*end)->next;
	*end = b;
}

/* Asks for a first process with that control socket's other end, in these groups. */
static int ask_birth(struct sandbox_launcher *l, struct first *b, struct resident_ask *q,
		     const struct cgroup *cg, int network, struct error *err)
{
	int control[2], fds[3 + CGROUP_DOORS_MAX], rc;
	size_t count = 0, doors = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return error_set(err, errno, "make the job's control socket");
	b->control = control[0];
	q->word = ASK_BIRTH;
	q->id = b->id;
	q->has_group = cgroup_birth(cg) >= 0;
	q->has_network = network >= 0;
	fds[count++] = control[1];
	if (q->has_group)
		fds[count++] = cgroup_birth(cg);
	if (q->has_network)
		fds[count++] = network;
	rc = cgroup_doors(cg, fds + count, &doors, err);
	if (rc == 0)
		rc = ask(l, q, fds, count + doors, err);
	while (doors)
		(void)close(fds[count + --doors]);
	(void)close(control[1]);
	return rc;
}

static unsigned waiting(const struct sandbox_launcher *l)
{
	unsigned count = 0;

	for (const struct first *b = l->births; b; b = b->next)
		count += b->cg != NULL;
	return count;
}

/* Made ahead, and as this plan wants it. */
static bool fits(const struct first *b, const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return b->cg && b->nested == (spec->profile == SANDBOX_NESTED) &&
	       memcmp(&b->ids, &plan->ids, sizeof(b->ids)) == 0 && template_is(b->stamp) &&
	       cgroup_serves(b->cg, spec->cgroup_parent, &spec->limits);
}

static bool may_wait(const struct plan *plan)
{
	const struct sandbox_spec *spec = plan->spec;

	return template_serves(plan) && !spec->name && !spec->network_open && !init_fault.step;
}

/* Its groups may hold these limits already: they were the last job's. */
static int prepare(struct first *b, const struct sandbox_limits *limits)
{
	int rc = 0;

	if (memcmp(&b->limits, limits, sizeof(*limits)) != 0)
		rc = cgroup_prepare(b->cg, limits, NULL);
	b->limits = *limits;
	return rc;
}

/* Has it anything to say before it has an order, it died. */
static bool lives(const struct first *b)
{
	struct pollfd wait[] = {{.fd = b->control, .events = POLLIN},
				{.fd = b->pidfd, .events = POLLIN}};

	return poll(wait, 2, 0) == 0;
}

/* One that waits; NULL. The oldest gives way when none fits, and the dead do. */
static struct first *take_ready(struct sandbox_launcher *l, const struct plan *plan)
{
	struct first *next, *oldest = NULL;

	if (!may_wait(plan))
		return NULL;
	for (struct first *b = l->births; b; b = next) {
		next = b->next;
		if (!b->cg)
			continue;
		if (!lives(b))
			first_free(l, take(l, b));
		else if (fits(b, plan) && prepare(b, &plan->spec->limits) == 0)
			return take(l, b);
		else if (!oldest)
			oldest = b;
	}
	if (oldest && waiting(l) >= l->ready_wanted)
		first_free(l, take(l, oldest));
	return NULL;
}

static struct first *bear(struct sandbox_launcher *l, const struct plan *plan, struct error *err)
{
	const struct sandbox_spec *spec = plan->spec;
	struct resident_ask q = {.ids = plan->ids,
				 .birth = plan->birth,
				 .nested = spec->profile == SANDBOX_NESTED,
				 .network = spec->network,
				 .private_bytes = plan->private_bytes,
				 .private_inodes = plan->private_inodes,
				 .fault = init_fault};
	struct first *b = new_first(l);
	bool ahead = spec->network == SANDBOX_NETWORK_NONE && spec->network_open;

	if (!b) {
		(void)error_set(err, ENOMEM, "start a sandbox");
		return NULL;
	}
	if (cgroup_new(plan, &b->cg, err) < 0 ||
	    ask_birth(l, b, &q, b->cg, ahead ? spec->network_fd : -1, err) < 0) {
		first_free(l, b);
		return NULL;
	}
	return b;
}

/* A user's directory is found again by the launcher, who may make a mount of it. */
static int detach(struct sandbox_launcher *l, struct source *s, struct error *err)
{
	struct resident_ask q = {.word = ASK_DETACH,
				 .id = ++l->last_id,
				 .writable = s->writable,
				 .device = s->device,
				 .inode = s->inode};
	struct resident_answer a;
	int fd = -1, rc;

	if (s->fd < 0 || s->detached)
		return 0;
	(void)snprintf(q.path, sizeof(q.path), "%s", s->path);
	rc = ask(l, &q, &s->fd, 1, err);
	if (rc == 0)
		rc = await(l, q.id, &a, &fd, err);
	if (rc < 0)
		return rc;
	(void)close(s->fd);
	s->fd = fd;
	s->detached = true;
	return 0;
}

static void remember(struct sandbox_launcher *l, const struct plan *plan)
{
	const char *parent = plan->spec->cgroup_parent;

	if (!may_wait(plan))
		return;
	l->has_model = true;
	l->nested = plan->spec->profile == SANDBOX_NESTED;
	l->model_ids = plan->ids;
	l->model = plan->spec->limits;
	l->private_bytes = plan->private_bytes;
	l->private_inodes = plan->private_inodes;
	if (!parent || !l->parent || strcmp(parent, l->parent) != 0) {
		free(l->parent);
		l->parent = parent ? strdup(parent) : NULL;
	}
}

int launcher_birth(struct sandbox_launcher *l, struct plan *plan, struct cgroup **cg,
		   struct launched *out, struct error *err)
{
	struct first *b;
	int rc;

	if (l->owner != getpid() || l->user != geteuid())
		return error_say(err, EPERM,
				 "a launcher serves the process and the user that made it, not its "
				 "forks");
	hear_all(l);
	plan->birth = template_serves(plan) ? BIRTH_READY : BIRTH_PLAIN;
	rc = plan->birth == BIRTH_READY ? detach(l, &plan->worktree, err) : 0;
	if (rc < 0)
		return rc;
	remember(l, plan);
	b = take_ready(l, plan);
	if (!b)
		b = bear(l, plan, err);
	if (!b)
		return err ? -err->code : -EIO;
	out->control = give_fd(&b->control);
	out->birth = b->id;
	*cg = give(b->cg);
	b->next = l->births;
	l->births = b;
	return 0;
}

void launcher_forget(struct sandbox_launcher *l, const struct launched *job)
{
	struct first *b = job->birth ? find(l, job->birth) : NULL;

	if (b && b->answered)
		first_free(l, take(l, b));
	else if (b)
		b->forgotten = true;
}

int launcher_await(struct sandbox_launcher *l, struct launched *out, struct error *err)
{
	struct first *b = find(l, out->birth);
	int64_t until = clock_boot_ms() + ANSWER_MS;
	int rc = 0;

	while (rc == 0 && !b->answered) {
		struct resident_answer a;
		int fd;

		rc = hear(l, until, &a, &fd, err);
		if (rc == 0)
			note(l, &a, fd);
	}
	if (rc < 0)
		return rc; /* who is born after all is killed: launcher_forget() */
	out->pidfd = give_fd(&b->pidfd);
	rc = b->code ? error_set(err, b->code, "%s", b->text) : 0;
	first_free(l, take(l, b));
	return rc;
}

/* --- what can be done when nobody waits
 * ----------------------------------------------------------- */

static int make_ready(struct sandbox_launcher *l)
{
	const struct sandbox_spec spec = {.limits = l->model, .cgroup_parent = l->parent};
	const struct plan plan = {.spec = &spec};
	struct resident_ask q = {.ids = l->model_ids,
				 .birth = BIRTH_READY,
				 .nested = l->nested,
				 .private_bytes = l->private_bytes,
				 .private_inodes = l->private_inodes};
	struct first *b = new_first(l);
	int rc = b ? cgroup_make(&plan, &b->cg, NULL) : -ENOMEM;

	if (rc == 0) {
		b->ids = l->model_ids;
		b->nested = l->nested;
		b->stamp = template_stamp();
		rc = prepare(b, &l->model);
	}
	if (rc == 0)
		rc = ask_birth(l, b, &q, b->cg, -1, NULL);
	if (rc == 0)
		add(l, b);
	else if (b)
		first_free(l, b);
	return rc;
}

bool launcher_is_spent(const struct sandbox_launcher *l)
{
	return waiting(l) == 0;
}

void launcher_bury(struct sandbox_launcher *l, struct cgroup *cg)
{
	if (l->owner == getpid())
		graves_add(&l->graves, cg);
	else
		cgroup_forget(cg);
}

void launcher_tend(struct sandbox_launcher *l)
{
	if (l->owner != getpid())
		return;
	hear_all(l);
	graves_tend(&l->graves);
	/* What can't be made now is made when it is needed, and told then. */
	for (unsigned n = waiting(l); l->has_model && n < l->ready_wanted; n++)
		if (make_ready(l) < 0)
			break;
}
