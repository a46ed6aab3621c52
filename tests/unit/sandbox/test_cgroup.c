/* Control groups that can't be read, or don't keep what they are told: a folder of plain files
 * stands for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/cgroup_group.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[] = "/tmp/cupel-test-XXXXXX";
static int dir = -1;

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int remove_dir(void **state)
{
	(void)state;
	(void)close(dir);
	return rmdir(path);
}

static void put(const char *file, const char *text)
{
	owned_fd fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void take_away(const char *file)
{
	assert_int_equal(unlinkat(dir, file, 0), 0);
}

static const struct group unreadable_v1 = {.ops = &group_v1, .dir = -1, .controllers = ~0U},
			  unreadable_v2 = {.ops = &group_v2, .dir = -1, .controllers = ~0U};

static void who_cannot_be_seen_is_not_gone(void **state)
{
	(void)state;
	assert_int_equal(group_v1.populated(&unreadable_v1), -EBADF);
	assert_int_equal(group_v2.populated(&unreadable_v2), -EBADF);
}

static void a_group_without_files_is_removed_and_empty(void **state)
{
	(void)state;
	assert_int_equal(group_v1.populated(&(struct group){.ops = &group_v1, .dir = dir}), 0);
	assert_int_equal(group_v2.populated(&(struct group){.ops = &group_v2, .dir = dir}), 0);
}

static void only_the_kernels_word_says_empty(void **state)
{
	const struct group g = {.ops = &group_v2, .dir = dir};

	(void)state;
	put("cgroup.events", "populated 0\nfrozen 0\n");
	assert_int_equal(group_v2.populated(&g), 0);
	put("cgroup.events", "populated 1\nfrozen 0\n");
	assert_int_equal(group_v2.populated(&g), 1);
	put("cgroup.events", "");
	assert_int_equal(group_v2.populated(&g), -EIO);
	take_away("cgroup.events");
}

static void what_cannot_be_read_is_no_number(void **state)
{
	struct cgroup_counts counts = {0};
	uint64_t us = 0;

	(void)state;
	assert_int_equal(group_v1.cpu_us(&unreadable_v1, &us), -EBADF);
	assert_int_equal(group_v2.cpu_us(&unreadable_v2, &us), -EBADF);
	assert_int_equal(group_v1.counts(&unreadable_v1, 0, &counts), -EBADF);
	assert_int_equal(group_v2.counts(&unreadable_v2, 0, &counts), -EBADF);
}

/* What is written to one of the files that stand for the kernel's goes over the first characters
 * of what it says. */
static void swap_that_is_not_seen_forbidden_is_no_limit(void **state)
{
	(void)state;
	put("memory.oom.group", "0");
	put("memory.max", "max");
	put("memory.swap.max", "1");
	assert_int_equal(group_v2.set_memory(dir, 33554432), 0);
	put("memory.swap.max", "4096"); /* becomes 0096 */
	assert_int_equal(group_v2.set_memory(dir, 33554432), -ERANGE);
	take_away("memory.swap.max");
	take_away("memory.max");
	take_away("memory.oom.group");
}

static void memory_with_swap_is_read_back(void **state)
{
	(void)state;
	put("memory.limit_in_bytes", "");
	put("memory.memsw.limit_in_bytes", "");
	assert_int_equal(group_v1.set_memory(dir, 33554432), 0);
	put("memory.memsw.limit_in_bytes", "99999999999");
	assert_int_equal(group_v1.set_memory(dir, 33554432), -ERANGE);
	take_away("memory.limit_in_bytes");
	take_away("memory.memsw.limit_in_bytes");
}

static void a_freeze_that_is_not_kept_is_told(void **state)
{
	(void)state;
	put("cgroup.freeze", "0");
	assert_int_equal(group_v2.freeze(dir, true), 0);
	put("cgroup.freeze", "00"); /* becomes 10 */
	assert_int_equal(group_v2.freeze(dir, true), -ERANGE);
	take_away("cgroup.freeze");
	put("freezer.state", "");
	put("freezer.self_freezing", "1");
	assert_int_equal(group_v1.freeze(dir, true), 0);
	assert_int_equal(group_v1.freeze(dir, false), -ERANGE);
	take_away("freezer.self_freezing");
	take_away("freezer.state");
}

/* In a process that hasn't looked yet: what it can when it has had `few` descriptors before. */
static unsigned can_after(rlim_t few)
{
	struct rlimit usual, less;
	int both[2], status = 1;
	unsigned can = 0;
	pid_t pid;

	assert_int_equal(pipe(both), 0);
	pid = fork();
	if (pid == 0) {
		if (getrlimit(RLIMIT_NOFILE, &usual) < 0)
			_exit(1);
		less = (struct rlimit){few, usual.rlim_max};
		if (few && (setrlimit(RLIMIT_NOFILE, &less) < 0 || sandbox_can() == ~0U ||
			    setrlimit(RLIMIT_NOFILE, &usual) < 0))
			_exit(1);
		can = sandbox_can();
		_exit(write(both[1], &can, sizeof(can)) != sizeof(can));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(both[0], &can, sizeof(can)), sizeof(can));
	(void)close(both[0]);
	(void)close(both[1]);
	return can;
}

/* Nobody whose descriptors were short once has no limits from then on. */
static void a_look_without_descriptors_is_taken_again(void **state)
{
	unsigned can = can_after(0);

	(void)state;
	for (rlim_t few = 4; few < 24; few++)
		assert_int_equal(can_after(few), can);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_without_descriptors_is_taken_again),
		cmocka_unit_test(who_cannot_be_seen_is_not_gone),
		cmocka_unit_test(a_group_without_files_is_removed_and_empty),
		cmocka_unit_test(only_the_kernels_word_says_empty),
		cmocka_unit_test(what_cannot_be_read_is_no_number),
		cmocka_unit_test(swap_that_is_not_seen_forbidden_is_no_limit),
		cmocka_unit_test(memory_with_swap_is_read_back),
		cmocka_unit_test(a_freeze_that_is_not_kept_is_told),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
