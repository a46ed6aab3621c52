#include "tests/unit/base/check.h"

#include "base/owned.h"
#include "base/tree.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define STRANGER 54321
#define DEEP     10000

/* `levels` directories, one in the other, each with a link. */
static int dig(int dir, const char *name, int levels)
{
	owned_fd at = dup(dir);

	for (int i = 0; i < levels; i++) {
		owned_fd above = give_fd(&at);
		const char *level = i ? "level" : name;

		if (mkdirat(above, level, 0755) < 0)
			return 1;
		at = openat(above, level, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (at < 0 || symlinkat("/etc", at, "link") < 0)
			return 2;
	}
	return 0;
}

static void what_is_not_there_is_fine(void **state)
{
	const struct scratch *s = *state;

	assert_int_equal(tree_remove(s->fd, "none", NULL), 0);
}

static void a_file_and_a_link_go_by_themselves(void **state)
{
	const struct scratch *s = *state;

	put_file(s->fd, "file", "x");
	assert_int_equal(symlinkat("file", s->fd, "link"), 0);
	assert_int_equal(tree_remove(s->fd, "link", NULL), 0);
	assert_true(is_there(s->fd, "file"));
	assert_int_equal(tree_remove(s->fd, "file", NULL), 0);
	assert_false(is_there(s->fd, "file"));
}

static void where_links_point_survives(void **state)
{
	const struct scratch *s = *state;
	struct error e = {0};

	assert_int_equal(mkdirat(s->fd, "safe", 0755), 0);
	put_file(s->fd, "safe/file", "x");
	assert_int_equal(mkdirat(s->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "t/sub", 0755), 0);
	assert_int_equal(symlinkat("../safe", s->fd, "t/dir"), 0);
	assert_int_equal(symlinkat("../../safe", s->fd, "t/sub/dir"), 0);
	assert_int_equal(symlinkat("../../safe/file", s->fd, "t/sub/file"), 0);
	assert_int_equal(linkat(s->fd, "safe/file", s->fd, "t/hard", 0), 0);
	assert_int_equal(mkfifoat(s->fd, "t/sub/pipe", 0), 0);
	assert_int_equal(tree_remove(s->fd, "t", &e), 0);
	assert_false(is_there(s->fd, "t"));
	assert_true(is_there(s->fd, "safe/file"));
}

static void a_wide_tree_goes(void **state)
{
	const struct scratch *s = *state;
	char name[32];
	struct error e = {0};

	assert_int_equal(mkdirat(s->fd, "t", 0755), 0);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "t/%d", i);
		assert_int_equal(mkdirat(s->fd, name, 0755), 0);
		for (int j = 0; j < 40; j++) {
			(void)snprintf(name, sizeof(name), "t/%d/%d", i, j);
			assert_int_equal(mkdirat(s->fd, name, 0755), 0);
			(void)snprintf(name, sizeof(name), "t/%d/%d/x", i, j);
			put_file(s->fd, name, "");
		}
	}
	assert_int_equal(tree_remove(s->fd, "t", &e), 0);
	assert_false(is_there(s->fd, "t"));
}

static void names_like_the_made_up_ones_do_no_harm(void **state)
{
	const struct scratch *s = *state;
	char name[64];
	struct error e = {0};

	assert_int_equal(dig(s->fd, "t", 20), 0);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "t/.removed-%d", i);
		if (i % 3 == 0)
			put_file(s->fd, name, "");
		else
			assert_int_equal(mkdirat(s->fd, name, 0755), 0);
		(void)snprintf(name, sizeof(name), "t/.removed-%d/x", i);
		if (i % 3 == 1)
			put_file(s->fd, name, "");
	}
	assert_int_equal(tree_remove(s->fd, "t", &e), 0);
	assert_false(is_there(s->fd, "t"));
}

static int remove_deep_tree(void *with)
{
	const struct scratch *s = with;
	struct rlimit few;
	struct error e = {0};
	int rc = dig(s->fd, "t", DEEP);

	if (rc || getrlimit(RLIMIT_NOFILE, &few) < 0)
		return 10 + rc;
	few.rlim_cur = 16;
	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		return 10 + rc;
	if (tree_remove(s->fd, "t", &e) < 0)
		(void)fprintf(stderr, "%s\n", e.text);
	return is_there(s->fd, "t");
}

static void ten_thousand_levels_need_few_descriptors(void **state)
{
	assert_int_equal(in_child(remove_deep_tree, *state), 0);
}

static int become_stranger(void)
{
	return setgroups(0, NULL) < 0 || setgid(STRANGER) < 0 || setuid(STRANGER) < 0;
}

static int remove_locked_tree(void *with)
{
	struct scratch *s = with;
	struct error e = {0};
	int rc;

	if (geteuid() == 0 && (fchmod(s->fd, 0777) < 0 || become_stranger()))
		return 10;
	rc = dig(s->fd, "none", 4);
	if (rc == 0)
		rc = dig(s->fd, "wide", 1);
	if (rc || mkdirat(s->fd, "wide/a", 0755) < 0 || mkdirat(s->fd, "wide/a/b", 0755) < 0 ||
	    mkdirat(s->fd, "wide/a/b/c", 0755) < 0)
		return 20 + rc;
	if (fchmodat(s->fd, "wide/a/b/c", 0, 0) < 0 || fchmodat(s->fd, "wide/a/b", 0100, 0) < 0 ||
	    fchmodat(s->fd, "wide/a", 0500, 0) < 0 || fchmodat(s->fd, "wide", 0, 0) < 0 ||
	    fchmodat(s->fd, "none/level/level/level", 0, 0) < 0 ||
	    fchmodat(s->fd, "none/level/level", 0, 0) < 0 ||
	    fchmodat(s->fd, "none/level", 0400, 0) < 0 || fchmodat(s->fd, "none", 0300, 0) < 0)
		return 30;
	if (geteuid() && faccessat(s->fd, "wide/a", R_OK, AT_EACCESS) == 0)
		return 40; /* the test would prove nothing */
	if (tree_remove(s->fd, "none", &e) < 0 || tree_remove(s->fd, "wide", &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 50;
	}
	return is_there(s->fd, "none") || is_there(s->fd, "wide");
}

static void the_owner_removes_what_has_no_permission_bits(void **state)
{
	assert_int_equal(in_child(remove_locked_tree, *state), 0);
}

static int fail_on_anothers_tree(void *with)
{
	const struct scratch *s = with;
	struct error e = {0};

	if (become_stranger())
		return 10;
	if (tree_remove(s->fd, "t", &e) != -EACCES)
		return 20;
	return strncmp(e.text, "remove t/", 9) != 0 || !strstr(e.text, "Permission denied");
}

static void what_cannot_go_is_named(void **state)
{
	const struct scratch *s = *state;

	if (geteuid() != 0) {
		print_message("SKIP what_cannot_go_is_named: making another's files needs root\n");
		skip();
	}
	assert_int_equal(fchmod(s->fd, 0777), 0);
	assert_int_equal(dig(s->fd, "t", 2), 0);
	assert_int_equal(in_child(fail_on_anothers_tree, *state), 0);
	assert_true(is_there(s->fd, "t/level/link"));
}

#define NO_MOUNTS 77

/* In a mount namespace of its own; `bind` mounts of the same file system share its device. */
static int keep_mounts(void *with)
{
	const struct scratch *s = with;
	struct error e = {0};

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    chdir(s->path) < 0 || mount("safe", "t/level/bind", "none", MS_BIND, NULL) < 0)
		return NO_MOUNTS;
	if (tree_remove(s->fd, "t", &e) != -EBUSY)
		return 1;
	if (!strstr(e.text, "bind"))
		return 2;
	if (mount("safe", "at", "none", MS_BIND, NULL) < 0)
		return NO_MOUNTS;
	return tree_remove(s->fd, "at", &e) == -EBUSY ? 0 : 3;
}

static void mounts_are_not_crossed(void **state)
{
	struct scratch *s = *state;
	int rc;

	assert_int_equal(dig(s->fd, "t", 2), 0);
	assert_int_equal(mkdirat(s->fd, "at", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "t/level/bind", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "safe", 0755), 0);
	put_file(s->fd, "safe/file", "x");
	rc = in_child(keep_mounts, s);
	if (rc == NO_MOUNTS) {
		print_message("SKIP mounts_are_not_crossed: it may not mount here\n");
		skip();
	}
	assert_int_equal(rc, 0);
	assert_true(is_there(s->fd, "safe/file"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scratch_start, scratch_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_not_there_is_fine),
		CASE(a_file_and_a_link_go_by_themselves),
		CASE(where_links_point_survives),
		CASE(a_wide_tree_goes),
		CASE(names_like_the_made_up_ones_do_no_harm),
		CASE(ten_thousand_levels_need_few_descriptors),
		CASE(the_owner_removes_what_has_no_permission_bits),
		CASE(what_cannot_go_is_named),
		CASE(mounts_are_not_crossed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
