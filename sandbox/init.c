#include "sandbox/init.h"

#include "sandbox/landlock.h"
#include "sandbox/network.h"
#include "sandbox/order.h"
#include "sandbox/payload.h"
#include "sandbox/priority.h"
#include "sandbox/reaper.h"
#include "sandbox/root.h"
#include "sandbox/spec.h"
#include "sandbox/sys.h"

#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fault init_fault;

static void say(const struct plan *plan, const struct message *m)
{
	/* When nobody listens any more, this process is about to be killed. */
	(void)send(plan->control, m, sizeof(*m), MSG_NOSIGNAL);
}

/* The caller's other descriptors: another job's pipe held open here would delay its end. */
static void close_others(const struct plan *plan)
{
	int keep[8 + SPEC_BINDS_MAX], count = 0;
	unsigned from = 3;

	keep[count++] = plan->control;
	keep[count++] = plan->go;
	keep[count++] = plan->input;
	keep[count++] = plan->output;
	keep[count++] = plan->error;
	keep[count++] = plan->worktree.fd;
	keep[count++] = plan->system.fd;
	keep[count++] = plan->root;
	for (size_t i = 0; i < plan->bind_count; i++)
		keep[count++] = plan->binds[i].fd;
	for (int i = 0; i < 3; i++) /* taken, so that nothing we open comes to stand there */
		(void)dup2(plan->control, i);
	for (;;) { /* from gap to gap, upwards */
		unsigned next = ~0U;

		for (int i = 0; i < count; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from)
			(void)sys_close_range(from, next == ~0U ? next : next - 1, 0);
		if (next == ~0U)
			return;
		from = next + 1;
	}
}

static int enter_groups(struct plan *plan)
{
	int rc = priority_drop(); /* a group for a share of the processors takes nobody of realtime
				   */

	errno = -rc;
	if (rc < 0)
		return plan_fail(plan, "the usual priority");
	for (size_t i = 0; i < plan->door_count; i++)
		if (write(plan->door[i], "0", 1) != 1)
			return plan_fail(plan, "the control groups");
	return 0;
}

/* Waits for the word that maps and cgroups are written. */
static int await_go(struct plan *plan)
{
	int rc;
	char go;
	ssize_t n;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (plan->birth == BIRTH_PLANNED) /* the launcher's children are where it is */
		processor_stay(&plan->processors);
	rc = enter_groups(plan);
	close_others(plan);
	if (rc < 0)
		return rc;
	do
		n = read(plan->go >= 0 ? plan->go : plan->control, &go, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		_exit(1); /* the caller died or gave up */
	return n < 0 ? plan_fail(plan, "control socket") : 0;
}

/* The plan itself, for whom was born before it was made. */
static int await_order(struct plan *plan)
{
	int rc = order_receive(plan);

	if (rc == -ESHUTDOWN)
		_exit(1); /* the caller died, or doesn't need it */
	errno = -rc;
	return rc < 0 ? plan_fail(plan, "the order") : 0;
}

/* The launcher's word can't be read twice: its end of the pipe is closed when it dies. */
static bool is_orphan(const struct plan *plan)
{
	struct pollfd wait = {.fd = plan->go};
	char byte;

	if (plan->go >= 0)
		return poll(&wait, 1, 0) > 0 && (wait.revents & POLLHUP);
	return recv(plan->control, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static int become_root(struct plan *plan)
{
	/* Not the library's calls: those look for other threads, which stayed with the parent. */
	if (plan->ids.has_root &&
	    (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
	     syscall(SYS_setresuid, 0, 0, 0) < 0))
		return plan_fail(plan, "id 0 of the user namespace");
	/* Its memory is a copy of the caller's; nobody inside shall read it. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return plan_fail(plan, "prctl");
	/* A new identity forgets the signal of the caller's death: did that come in between? */
	if (is_orphan(plan))
		_exit(1);
	(void)prctl(PR_SET_NAME, "init");
	(void)umask(0);                         /* the modes of what is made are meant */
	sys_block_signals(SYS_SIGNAL(SIGCHLD)); /* is waited for */
	if (plan->birth != BIRTH_PLANNED)
		return 0;      /* the launcher has done the rest for itself */
	sys_default_signals(); /* clone3 leaves what is ignored so, and the program would inherit it
				*/
	(void)setsid(); /* out of the terminal's reach; the first of a pid namespace may lead one */
	return 0;
}

static int network(struct plan *plan)
{
	int rc;

	if (plan->spec->network == SANDBOX_NETWORK_HOST || plan->network_ready)
		return 0;
	rc = network_loopback();
	errno = -rc;
	return rc < 0 ? plan_fail(plan, "lo") : 0;
}

/* What an exec could bring capabilities back from is taken away as long as the right to do so is
 * there; the program's process inherits it so. */
static int bounding(struct plan *plan)
{
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* past the kernel's last one */
			return plan_fail(plan, "bounding set");
		}
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
			  SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
			  SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0) < 0)
		return plan_fail(plan, "secure bits");
	return 0;
}

static int hostname(struct plan *plan)
{
	const char *name = plan->spec->hostname ? plan->spec->hostname : "cupel";

	if (sethostname(name, strlen(name)) < 0 || setdomainname("", 0) < 0)
		return plan_fail(plan, name);
	return 0;
}

static int cgroup_namespace(struct plan *plan)
{
	return unshare(CLONE_NEWCGROUP) < 0 ? plan_fail(plan, "cgroup") : 0;
}

static const char *moved(const struct plan *plan, const char *copy, const char *text)
{
	return text >= plan->title && text < plan->title + plan->title_length
		       ? copy + (text - plan->title)
		       : text;
}

/* A command's own words may be what the plan is made of. */
static int move_words(struct plan *plan)
{
	size_t count = 0;
	const char **argv;
	char *copy;

	while (plan->argv[count])
		count++;
	argv = mmap(NULL, (count + 1) * sizeof(*argv) + plan->title_length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argv == MAP_FAILED)
		return -errno;
	copy = memcpy((char *)(argv + count + 1), plan->title, plan->title_length);
	for (size_t i = 0; i < count; i++)
		argv[i] = moved(plan, copy, plan->argv[i]);
	plan->argv = argv;
	for (char **word = plan->env; *word; word++)
		*word = (char *)moved(plan, copy, *word);
	plan->path = moved(plan, copy, plan->path);
	plan->workdir = moved(plan, copy, plan->workdir);
	return 0;
}

/* The caller's command line is not the job's to read, from its first moment on. */
static int hide_title(struct plan *plan)
{
	int rc = plan->title && plan->birth == BIRTH_PLANNED ? move_words(plan) : 0;

	errno = -rc;
	if (rc < 0)
		return plan_fail(plan, "the command line");
	if (plan->title)
		memset(plan->title, 0, plan->title_length);
	return 0;
}

/* Who does a step: children of which birth. */
enum {
	PLANNED = 1 << BIRTH_PLANNED,
	PLAIN = 1 << BIRTH_PLAIN,
	READY = 1 << BIRTH_READY,
	BUILDING = PLANNED | PLAIN, /* the root itself */
	ALL = BUILDING | READY,
};

static const struct {
	enum step step;
	int (*run)(struct plan *plan);
	unsigned births;
	bool in_template;
} steps[] = {
	{STEP_GO, await_go, ALL},
	{STEP_ORDER, await_order, PLAIN},
	{STEP_PRIVATE, root_private, ALL},
	{STEP_SOURCES, root_sources, BUILDING},
	{STEP_IDENTITY, become_root, ALL},
	{STEP_BOUNDING, bounding, ALL},
	{STEP_ROOT, root_mount, BUILDING},
	{STEP_ROOT, root_ready, READY},
	{STEP_SKELETON, root_skeleton, BUILDING, true},
	{STEP_SYSTEM, root_system, BUILDING, true},
	{STEP_ETC, root_etc, BUILDING, true},
	{STEP_DEVICES, root_devices, BUILDING, true},
	{STEP_PRIVATE_DIRS, root_private_dirs, ALL},
	{STEP_PTS, root_pts, ALL},
	{STEP_QUEUES, root_queues, ALL},
	{STEP_PROC, root_proc, ALL},
	{STEP_PROC_MASK, root_proc_mask, ALL},
	{STEP_NETWORK, network, ALL},
	{STEP_HOSTNAME, hostname, ALL},
	{STEP_CGROUP_NAMESPACE, cgroup_namespace, ALL},
	{STEP_TITLE, hide_title, ALL},
	{STEP_RULES, landlock_prepare, READY},
	{STEP_ORDER, await_order, READY},
	{STEP_SIZE, root_size, READY},
	{STEP_WORKTREE, root_worktree, ALL},
	{STEP_BINDS, root_binds, BUILDING},
	{STEP_PIVOT, root_pivot, BUILDING},
	{STEP_READONLY, root_readonly, BUILDING},
	{STEP_RULES, landlock_prepare, BUILDING},
};

bool init_does(enum step step, enum birth birth)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].step == step)
			return steps[i].births & 1U << birth;
	return step > STEP_FORK;
}

void init_failed(struct plan *plan, enum step step, int code)
{
	plan->failure.word = WORD_FAILED;
	plan->failure.step = step;
	plan->failure.code = code;
}

int init_suffer(const struct plan *plan)
{
	struct message halted = {.word = WORD_HALTED, .step = init_fault.step};

	switch (init_fault.kind) {
	case FAULT_DIE:
		if (getpid() != 1)
			(void)kill(getpid(), SIGKILL);
		_exit(1);
	case FAULT_HALT:
		say(plan, &halted);
		(void)pause();
		return 0;
	default:
		return -EIO;
	}
}

#define STEPS (sizeof(steps) / sizeof(steps[0]))

static int run_steps(struct plan *plan, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		int rc = 0;

		if (!(steps[i].births & 1U << plan->birth))
			continue;
		if (init_fault.step == steps[i].step)
			rc = init_suffer(plan);
		if (rc == 0 && !(plan->templated && steps[i].in_template))
			rc = steps[i].run(plan);
		if (rc < 0) {
			init_failed(plan, steps[i].step, -rc);
			return rc;
		}
	}
	return 0;
}

/* The program's process is made before a ready sandbox waits for its order, otherwise last. */
static size_t birthday(const struct plan *plan)
{
	size_t at = 0;

	while (at < STEPS &&
	       (!plan->waits || steps[at].step != STEP_ORDER || !(steps[at].births & READY)))
		at++;
	return at;
}

void init_main(struct plan *plan)
{
	static struct payload payload;
	struct message m = {.word = WORD_ENDED};
	size_t next = birthday(plan);
	int rc = run_steps(plan, 0, next);

	if (plan->waits)
		processors_use(&plan->processors);
	if (rc == 0 && payload_start(&payload, plan) == 0 && run_steps(plan, next, STEPS) == 0)
		payload_run(&payload);
	if (plan->failure.word == WORD_FAILED) {
		say(plan, &plan->failure);
		_exit(1);
	}
	reaper_wait(plan, &payload, &m);
	say(plan, &m);
	reaper_release(plan);
	_exit(0);
}
