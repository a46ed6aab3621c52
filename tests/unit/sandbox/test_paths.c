/* Paths that nobody can turn: links are refused with openat2, and without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/owned.h"
#include "sandbox/sys.h"
#include "sandbox/target.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char top[] = "/tmp/cupel-test-XXXXXX";

static int make_tree(void **state)
{
	int dir = mkdtemp(top) ? open(top, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	*(intptr_t *)state = dir;
	return dir < 0 || mkdirat(dir, "a", 0755) < 0 || mkdirat(dir, "a/b", 0755) < 0 ||
	       symlinkat("/etc", dir, "a/link") < 0 || symlinkat("b", dir, "a/inner") < 0;
}

static int remove_tree(void **state)
{
	int dir = (int)*(intptr_t *)state;
	static const char *const made[] = {"new/deep/file", "a/inner", "a/link"};
	static const char *const dirs[] = {"new/deep", "new", "a/b", "a"};

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		(void)unlinkat(dir, made[i], 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		(void)unlinkat(dir, dirs[i], AT_REMOVEDIR);
	(void)close(dir);
	return rmdir(top);
}

static int opened(int dir, const char *path)
{
	int fd = sys_openat2(dir, path, O_PATH, RESOLVE_BENEATH);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

/* 0, or the number of the claim that doesn't hold. */
static int claims(int dir)
{
	if (opened(dir, "a/b") != 0)
		return 1;
	if (opened(dir, "a/link") != ELOOP || opened(dir, "a/link/passwd") != ELOOP)
		return 2;
	if (opened(dir, "a/inner") != ELOOP)
		return 3;
	if (opened(dir, "a/none") != ENOENT)
		return 4;
	if (opened(dir, "../etc") != EXDEV)
		return 5;
	return 0;
}

static void links_are_refused(void **state)
{
	assert_int_equal(claims((int)*(intptr_t *)state), 0);
}

static int deny_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0;
}

static void links_are_refused_without_openat2(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(deny_openat2() ? 100 : claims((int)*(intptr_t *)state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void targets_are_made_but_never_behind_a_link(void **state)
{
	int dir = (int)*(intptr_t *)state;
	owned_fd made = target_open(dir, "/new/deep/file", false);
	struct stat st;

	assert_true(made >= 0);
	assert_int_equal(fstatat(dir, "new/deep/file", &st, 0), 0);
	assert_int_equal(target_open(dir, "/a/link/x", true), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(access("/etc/x", F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_refused),
		cmocka_unit_test(links_are_refused_without_openat2),
		cmocka_unit_test(targets_are_made_but_never_behind_a_link),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
