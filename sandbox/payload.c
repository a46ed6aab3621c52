#include "sandbox/payload.h"

#include "sandbox/init.h"
#include "sandbox/landlock.h"
#include "sandbox/packet.h"
#include "sandbox/sys.h"

#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int stdio(struct plan *plan)
{
	const int from[3] = {plan->input, plan->output, plan->error};
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return plan_fail(plan, "dup2");
	return 0;
}

static int workdir(struct plan *plan)
{
	const char *path = plan->workdir;
	int fd, rc = 0;

	if (chdir(SANDBOX_WORKTREE) < 0)
		return plan_fail(plan, SANDBOX_WORKTREE);
	if (!path)
		return 0;
	fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_BENEATH);
	if (fd < 0 || fchdir(fd) < 0)
		rc = plan_fail(plan, path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int user(struct plan *plan)
{
	if (plan->ids.has_root &&
	    (syscall(SYS_setresgid, SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0 ||
	     syscall(SYS_setresuid, SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0))
		return plan_fail(plan, "setresuid");
	(void)umask(022);
	return 0;
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

/* Hands the listener to the caller, who answers denied calls and counts them. */
static int send_listener(const struct plan *plan, int listener)
{
	struct message m = {.word = WORD_LISTENER};
	int rc = packet_send(plan->control, &m, sizeof(m), &listener, 1);

	errno = -rc;
	return rc;
}

static int seccomp(struct plan *plan)
{
	int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				    SECCOMP_FILTER_FLAG_NEW_LISTENER, &plan->filter->loud);

	if (listener >= 0)
		return send_listener(plan, listener) < 0 ? plan_fail(plan, "listener") : 0;
	/* There is a listener already (a sandbox within a sandbox), or the kernel has none. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan->filter->quiet) < 0)
		return plan_fail(plan, "filter");
	return 0;
}

/* Only now: what was done before needs some itself. */
static int descriptors(struct plan *plan)
{
	const uint64_t files = plan->spec->limits.files;
	const struct rlimit both = {files, files};

	return files && setrlimit(RLIMIT_NOFILE, &both) < 0 ? plan_fail(plan, "RLIMIT_NOFILE") : 0;
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
	plan->failure.word = 0; /* whatever becomes of it now, it was the program */
	(void)execve(path, (char *const *)plan->argv, plan->env);
	if (errno == ENOEXEC)
		execute_by_shell(plan, path);
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

static const struct {
	enum step step;
	int (*run)(struct plan *plan);
} steps[] = {
	{STEP_STDIO, stdio},
	{STEP_USER, user},
	{STEP_CAPS, caps},
	{STEP_WORKDIR, workdir},
	{STEP_LANDLOCK, landlock_apply},
	{STEP_SECCOMP, seccomp},
	{STEP_LIMITS, descriptors},
	{STEP_EXEC, execute},
};

void payload_main(struct plan *plan)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int rc;

		if (steps[i].step == STEP_EXEC)
			(void)sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
		rc = init_fault.step == steps[i].step ? init_suffer(plan) : 0;
		if (rc == 0)
			rc = steps[i].run(plan);
		if (rc < 0) {
			init_failed(plan, steps[i].step, -rc);
			break;
		}
	}
	_exit(1);
}
