#include "sandbox/payload.h"

#include "sandbox/init.h"
#include "sandbox/landlock.h"
#include "sandbox/packet.h"
#include "sandbox/sys.h"

#include <limits.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int stdio(struct plan *plan)
{
	const int from[3] = {plan->input, plan->output, plan->error};

	sys_block_signals(0);
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return plan_fail(plan, "dup2");
	return 0;
}

/* The filter answers openat2() where files land as root's, and nobody hears of it before the
 * program is executed. */
static int workdir(struct plan *plan)
{
	const char *path = plan->workdir;
	int fd, rc = 0;

	if (chdir(SANDBOX_WORKTREE) < 0)
		return plan_fail(plan, SANDBOX_WORKTREE);
	if (!path)
		return 0;
	fd = sys_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, true);
	if (fd < 0 || fchdir(fd) < 0)
		rc = plan_fail(plan, path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int limit(struct plan *plan, int resource, rlim_t value, const char *name)
{
	const struct rlimit both = {value, value};

	return setrlimit((__rlimit_resource_t)resource, &both) < 0 ? plan_fail(plan, name) : 0;
}

/* Before the filter, which leaves it as it is. Where cores go to a program, that runs as the host's
 * root for any limit but 1 (fs/coredump.c); that much is no core in a file either. A user who may
 * have 0 has no more to give; root's parent gave 1. */
static int forbid_cores(struct plan *plan)
{
	struct rlimit has;

	if (getrlimit(RLIMIT_CORE, &has) == 0 && has.rlim_max == 0)
		return 0;
	return limit(plan, RLIMIT_CORE, 1, "RLIMIT_CORE");
}

static int user(struct plan *plan)
{
	if (plan->ids.has_root &&
	    (syscall(SYS_setresgid, SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0 ||
	     syscall(SYS_setresuid, SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0))
		return plan_fail(plan, "setresuid");
	/* Where fs.suid_dumpable is 1 a new identity makes this memory readable again, which is the
	 * first process's, too; the program gets one of its own. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return plan_fail(plan, "prctl");
	(void)umask(022);
	return forbid_cores(plan);
}

/* The bounding set is empty since before the program was known. */
static int caps(struct plan *plan)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, none) < 0)
		return plan_fail(plan, "capset");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return plan_fail(plan, "no_new_privs");
	return 0;
}

/* The listener goes to the caller, who answers denied calls and counts them. */
static int seccomp(struct plan *plan)
{
	plan->listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				      SECCOMP_FILTER_FLAG_NEW_LISTENER, &plan->filter->loud);
	if (plan->listener >= 0)
		return 0;
	/* There is a listener already (a sandbox within a sandbox), or the kernel has none. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan->filter->quiet) < 0)
		return plan_fail(plan, "filter");
	return 0;
}

/* As long as nothing was executed: whoever isn't there, or can't be given it, gets no program that
 * he doesn't know of. */
static int announce(struct plan *plan)
{
	const struct message m = {.word = WORD_READY};
	int rc = packet_send(plan->control, &m, sizeof(m), &plan->listener, plan->listener >= 0);

	errno = -rc;
	return rc < 0 ? plan_fail(plan, "control socket") : 0;
}

/* Late: what was done before needs descriptors itself. */
static int limits(struct plan *plan)
{
	int rc = 0;

	processors_use(&plan->processors);
	if (plan->tasks)
		rc = limit(plan, RLIMIT_NPROC, plan->tasks, "RLIMIT_NPROC");
	if (rc == 0 && plan->spec->limits.files)
		rc = limit(plan, RLIMIT_NOFILE, plan->spec->limits.files, "RLIMIT_NOFILE");
	return rc;
}

/* As shells decide it: nothing in its first line is binary. */
static bool is_script(const char *path)
{
	char start[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, start, sizeof(start));
	const char *end = n > 0 ? memchr(start, '\n', (size_t)n) : NULL;

	if (fd >= 0)
		(void)close(fd);
	return n >= 0 && memchr(start, '\0', end ? (size_t)(end - start) : (size_t)n) == NULL;
}

/* A script without a first line that names its interpreter, as a shell would treat it. */
static void execute_by_shell(struct plan *plan, const char *path)
{
	const char *argv[1024] = {"/bin/sh", path};
	size_t n = 1;

	while (plan->argv[n] && n + 2 < sizeof(argv) / sizeof(argv[0])) {
		argv[n + 1] = plan->argv[n];
		n++;
	}
	if (plan->argv[n])
		errno = E2BIG;
	else
		(void)execve(argv[0], (char *const *)argv, plan->env);
}

/* ELIBACC: it is there, and what it names to run it isn't. */
static void execute_one(struct plan *plan, const char *path)
{
	int code;

	plan->failure.word = 0; /* whatever becomes of it now, it was the program */
	(void)execve(path, (char *const *)plan->argv, plan->env);
	code = errno;
	if (code == ENOEXEC && is_script(path))
		execute_by_shell(plan, path);
	else if (code == ENOEXEC)
		errno = code;
	if (errno == ENOENT && access(path, F_OK) == 0)
		errno = ELIBACC;
}

static bool go_on_looking(int code)
{
	return code == ENOENT || code == ENOTDIR || code == EACCES || code == ELIBACC;
}

static int execute(struct plan *plan)
{
	const char *name = plan->argv[0];
	const char *at = plan->path;
	int code = ENOENT;

	(void)sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);

	if (strchr(name, '/')) {
		execute_one(plan, name);
		return plan_fail(plan, name);
	}
	for (;;) {
		int length = (int)strcspn(at, ":");
		char path[PATH_MAX];

		if (snprintf(path, sizeof(path), "%.*s%s%s", length, at, length ? "/" : "", name) <
		    (int)sizeof(path))
			execute_one(plan, path);
		else
			errno = ENAMETOOLONG;
		/* What was found and refused says more than what wasn't there. */
		if (errno != ENOENT && errno != ENOTDIR && code == ENOENT)
			code = errno;
		if (!go_on_looking(errno) || !at[length])
			break;
		at += length + 1;
	}
	errno = code;
	return plan_fail(plan, name);
}

struct do_step {
	enum step step;
	int (*run)(struct plan *plan);
};

/* The filter denies nothing that the late ones call. */
static const struct do_step early[] = {
	{STEP_USER, user}, {STEP_CAPS, caps}, {STEP_SECCOMP, seccomp}, {STEP_NONE, NULL}};
static const struct do_step late[] = {
	{STEP_STDIO, stdio},       {STEP_WORKDIR, workdir}, {STEP_LANDLOCK, landlock_apply},
	{STEP_LISTENER, announce}, {STEP_LIMITS, limits},   {STEP_EXEC, execute},
	{STEP_NONE, NULL}};

static int run(struct plan *plan, const struct do_step *step)
{
	int rc = 0;

	for (; step->run && rc == 0; step++) {
		rc = init_fault.step == step->step ? init_suffer(plan) : 0;
		if (rc == 0)
			rc = step->run(plan);
		if (rc < 0)
			init_failed(plan, step->step, -rc);
	}
	return rc;
}

static void wait_while(int *word, int value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		(void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

/* The kernel's own waking, of who waits for an end, is not a private one: so ours isn't. */
static void set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Whoever dies without a word did it here. */
static void expect_death(struct plan *plan)
{
	init_failed(plan, STEP_FORK, ECHILD);
}

static int become_program(void *argument)
{
	struct payload *p = argument;

	(void)syscall(SYS_setsid);
	if (run(&p->early, early) < 0)
		return 1;
	if (!__atomic_load_n(&p->gate, __ATOMIC_ACQUIRE)) {
		set(&p->at, PAYLOAD_WAITS);
		wait_while(&p->gate, 0);
	}
	expect_death(p->plan);
	p->early.failure.word = 0;
	p->plan->listener = p->early.listener;
	(void)run(p->plan, late);
	return 1; /* and so it ends */
}

/* As after vfork() the memory is shared until the program is executed, so that what it failed on
 * can be read from the plan. But who waits in vfork() counts as load, and a ready sandbox may wait
 * for hours; and the descriptors are shared, too, for the listener. So is errno: of the two one
 * goes on, and the other one waits. Where the first process has no steps of its own left, it waits
 * for the end alone; a wait that comes too late leaves its EAGAIN there, which could at worst be
 * told of a step that fails in that moment. */
int payload_start(struct payload *p, struct plan *plan)
{
	static _Alignas(16) char stack[65536];

	*p = (struct payload){.plan = plan, .early = *plan, .at = PAYLOAD_BEGINS};
	expect_death(&p->early);
	p->pid = clone(become_program, stack + sizeof(stack),
		       CLONE_VM | CLONE_FILES | CLONE_CHILD_CLEARTID | CLONE_PIDFD | SIGCHLD, p,
		       &p->pidfd, NULL, &p->at);
	if (p->pid < 0) {
		init_failed(plan, STEP_FORK, errno);
		return -plan->failure.code;
	}
	if (!plan->waits)
		return 0;
	wait_while(&p->at, PAYLOAD_BEGINS);
	if (__atomic_load_n(&p->at, __ATOMIC_ACQUIRE) == PAYLOAD_WAITS)
		return 0;
	plan->failure = p->early.failure;
	return -plan->failure.code;
}

void payload_run(struct payload *p)
{
	set(&p->gate, 1);
	wait_while(&p->at, PAYLOAD_BEGINS);
	wait_while(&p->at, PAYLOAD_WAITS);
	if (p->early.failure.word)
		p->plan->failure = p->early.failure;
}
