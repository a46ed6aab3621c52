#include "runner/worktree.h"

#include "tests/unit/runner/repository.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	lab_open(lab);
	(void)lab_run(lab, "git init -q -b main r");
	*state = lab;
	return git_start(NULL);
}

static int teardown(void **state)
{
	git_stop();
	lab_close(*state);
	free(*state);
	return 0;
}

/* Checks the revision out as "tree": the answer of worktree_make(). */
static int check_out(struct lab *lab, const char *revision, struct worktree_spec spec,
		     struct error *err)
{
	owned(git) *git = NULL;
	struct git_commit commit = {0};
	char path[128];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/r", lab->path);
	rc = git_open(path, &git, err);
	if (rc == 0)
		rc = git_resolve(git, revision, &commit, err);
	if (rc < 0)
		return rc;
	spec.tree = commit.tree;
	spec.time = commit.time;
	return worktree_make(git, &spec, lab->dir, "tree", err);
}

static const struct worktree_spec plain = {.owner = (uid_t)-1};

/* The id of the tree that git itself makes of the directory. */
static char *rehash(struct lab *lab)
{
	return lab_run(
		lab,
		"export GIT_DIR=$PWD/r/.git GIT_WORK_TREE=$PWD/tree GIT_INDEX_FILE=$PWD/index\n"
		"rm -f index; cd tree; git -c core.autocrlf=false -c core.fileMode=true "
		"add -A -f . && git write-tree");
}

static void assert_exact(struct lab *lab, const char *revision)
{
	struct error err = {0};
	char expected[128];

	if (check_out(lab, revision, plain, &err) < 0)
		fail_msg("%s", err.text);
	(void)snprintf(expected, sizeof(expected), "%s",
		       lab_run(lab, "git -C r rev-parse '%s^{tree}'", revision));
	assert_string_equal(rehash(lab), expected);
}

static void the_result_is_the_commits_tree(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(
		lab,
		"cd r; echo a > a; echo '#!/bin/sh' > tool; chmod +x tool; : > empty\n"
		"ln -s a link; ln -s /nowhere/at/all dangling; ln -s ../../.. up\n"
		"mkdir -p 'odd names' d/e/f/g; echo x > 'odd names/ü: \"x\" *'\n"
		"printf x > \"$(printf 'new\\nline')\"; echo deep > d/e/f/g/h; echo A > A\n"
		"echo b > -dash; echo c > d/.hidden; echo d > .gitfoo; printf 'a\\r\\nb' > crlf\n"
		"echo '* text=auto eol=crlf ident' > .gitattributes; echo '$Id$' > ident\n"
		"echo '* -text -eol -ident' > .git/info/attributes\n" /* git's own eyes only */
		"git -c core.autocrlf=false add -A -f .; git commit -q -m all");
	assert_exact(lab, "main");
	assert_string_equal(lab_run(lab, "cat tree/ident"), "$Id$");
	assert_string_equal(lab_run(lab, "od -An -c tree/crlf"), "   a  \\r  \\n   b");
	assert_string_equal(lab_run(lab, "find tree -printf '%%T@\\n' | sort -u"),
			    "1700000000.0000000000");
	assert_string_equal(lab_run(lab, "stat -c %%a tree tree/a tree/tool tree/d"),
			    "755\n644\n755\n755");
}

static void what_a_commit_deletes_is_not_there(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(
		lab,
		"cd r; mkdir d; echo a > a; echo b > d/b; ln -s a l; git add .\n"
		"git commit -q -m one; git rm -q -r d a; mkdir l2; rm l; mkdir l; echo x > l/x\n"
		"git add -A; git commit -q -m two");
	assert_exact(lab, "main");
	assert_string_equal(lab_run(lab, "cd tree; find . -type f -o -type l"), "./l/x");
}

static void a_submodule_is_an_empty_directory(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, "cd r; echo x > x; git add x\n"
			   "git update-index --add --cacheinfo 160000,$(printf %%040d 1),module\n"
			   "git commit -q -m m");
	assert_int_equal(check_out(lab, "main", plain, NULL), 0);
	assert_string_equal(lab_run(lab, "find tree -type d | sort"), "tree\ntree/module");
}

static void an_empty_commit_is_an_empty_directory(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, "cd r; git commit -q --allow-empty -m nothing");
	assert_int_equal(check_out(lab, "main", plain, NULL), 0);
	assert_string_equal(lab_run(lab, "ls -A tree"), "");
}

/* Commits a tree of raw entries, as `printf` makes them: MODE NAME\0ID (in hex after the NUL). */
static void commit_raw(struct lab *lab, const char *entries)
{
	(void)lab_run(
		lab,
		"cd r; blob=$(echo evil | git hash-object -w --stdin)\n"
		"link=$(printf /etc | git hash-object -w --stdin)\n"
		"sub=$(printf '100644 blob %%s\\tx\\n' $blob | git mktree)\n"
		"python3 - \"$blob\" \"$link\" \"$sub\" <<'END'\n"
		"import sys, subprocess\n"
		"blob, link, sub = (bytes.fromhex(a) for a in sys.argv[1:])\n"
		"data = b''.join(mode + b' ' + name + b'\\0' + i for mode, name, i in [%s])\n"
		"tree = subprocess.run(['git', 'hash-object', '-t', 'tree', '-w', '--stdin', "
		"'--literally'], input=data, capture_output=True, check=True).stdout.decode().strip()\n"
		"made = subprocess.run(['git', 'commit-tree', tree, '-m', 'raw'], "
		"capture_output=True, check=True).stdout.decode().strip()\n"
		"subprocess.run(['git', 'update-ref', 'refs/heads/main', made], check=True)\n"
		"END",
		entries);
}

static void assert_refused(struct lab *lab, const char *entries, const char *word)
{
	struct error err = {0};

	commit_raw(lab, entries);
	assert_int_equal(check_out(lab, "main", plain, &err), -EILSEQ);
	if (!strstr(err.text, word))
		fail_msg("no '%s' in: %s", word, err.text);
	(void)lab_run(lab, "rm -rf tree; test ! -e x; test ! -e etc");
}

static void names_that_reach_out_are_refused(void **state)
{
	struct lab *lab = *state;

	assert_refused(lab, "(b'100644', b'..', blob)", "'..'");
	assert_refused(lab, "(b'100644', b'.', blob)", "'.'");
	assert_refused(lab, "(b'40000', b'..', sub)", "'..'");
	assert_refused(lab, "(b'100644', b'../x', blob)", "'../x'");
	assert_refused(lab, "(b'100644', b'/etc/x', blob)", "'/etc/x'");
	assert_refused(lab, "(b'100644', b'a/x', blob)", "'a/x'");
}

static void a_git_directory_in_a_tree_is_refused(void **state)
{
	struct lab *lab = *state;

	assert_refused(lab, "(b'40000', b'.git', sub)", "'.git'");
	assert_refused(lab, "(b'40000', b'.GIT', sub)", "'.GIT'");
	assert_refused(lab, "(b'100644', b'.giT', blob)", "'.giT'");
	assert_refused(lab, "(b'160000', b'.git', blob)", "'.git'");
}

static void a_name_that_is_there_twice_is_refused(void **state)
{
	struct lab *lab = *state;

	assert_refused(lab, "(b'100644', b'a', blob), (b'100644', b'a', blob)", "twice");
	assert_refused(lab, "(b'120000', b'a', link), (b'40000', b'a', sub)", "twice");
	assert_refused(lab, "(b'40000', b'a', sub), (b'120000', b'a', link)", "twice");
	assert_refused(lab, "(b'100644', b'a', blob), (b'40000', b'a', sub)", "twice");
}

static void a_link_to_what_is_no_path_is_refused(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab,
		      "cd r; printf 'a\\0b' | git hash-object -w --stdin > ../nul\n"
		      "head -c 5000 /dev/zero | tr '\\0' a | git hash-object -w --stdin > ../long\n"
		      "printf '120000 blob %%s\\tl\\n' $(cat ../nul) | git mktree > ../t1\n"
		      "printf '120000 blob %%s\\tl\\n' $(cat ../long) | git mktree > ../t2\n"
		      "git tag one $(git commit-tree $(cat ../t1) -m one)\n"
		      "git tag two $(git commit-tree $(cat ../t2) -m two)");
	assert_int_equal(check_out(lab, "one", plain, NULL), -EILSEQ);
	(void)lab_run(lab, "rm -rf tree");
	assert_int_equal(check_out(lab, "two", plain, NULL), -EILSEQ);
}

static void a_tree_that_is_too_deep_is_refused(void **state)
{
	struct lab *lab = *state;
	struct error err = {0};

	(void)lab_run(
		lab,
		"cd r; blob=$(echo x | git hash-object -w --stdin)\n"
		"tree=$(printf '100644 blob %%s\\tx\\n' $blob | git mktree)\n"
		"for i in $(seq %d); do tree=$(printf '040000 tree %%s\\td\\n' $tree | git mktree)\n"
		"done; git update-ref refs/heads/main $(git commit-tree $tree -m deep)",
		WORKTREE_DEPTH_MAX + 1);
	assert_int_equal(check_out(lab, "main", plain, &err), -EILSEQ);
	assert_non_null(strstr(err.text, "too deep"));
	assert_int_equal(worktree_remove(lab->dir, "tree", NULL), 0);
}

static void a_tree_of_too_many_bytes_is_refused(void **state)
{
	struct lab *lab = *state;
	struct worktree_spec small = {.owner = (uid_t)-1, .bytes_max = 99};

	(void)lab_run(lab,
		      "cd r; head -c 60 /dev/zero > a; cp a b; git add .; git commit -q -m big");
	assert_int_equal(check_out(lab, "main", small, NULL), -EFBIG);
	small.bytes_max = 120;
	(void)lab_run(lab, "rm -rf tree");
	assert_int_equal(check_out(lab, "main", small, NULL), 0);
}

static void an_object_that_is_broken_is_named(void **state)
{
	struct lab *lab = *state;
	struct error err = {0};
	char id[64];

	(void)lab_run(lab, "cd r; echo precious > data; git add .; git commit -q -m one");
	(void)snprintf(id, sizeof(id), "%s", lab_run(lab, "git -C r rev-parse main:data"));
	(void)lab_run(
		lab, "cd r/.git/objects; f=$(echo %s | sed 's,^..,&/,'); chmod +w $f; echo no > $f",
		id);
	assert_true(check_out(lab, "main", plain, &err) < 0);
	assert_non_null(strstr(err.text, id));
	assert_non_null(strstr(err.text, "'data'"));
}

static bool always(void *context)
{
	(void)context;
	return true;
}

static void a_checkout_can_be_stopped(void **state)
{
	struct lab *lab = *state;
	struct worktree_spec spec = {.owner = (uid_t)-1, .stop = always};

	(void)lab_run(
		lab,
		"cd r; for i in $(seq 100); do : > $i; done; git add .; git commit -q -m many");
	assert_int_equal(check_out(lab, "main", spec, NULL), -ECANCELED);
	assert_int_equal(worktree_remove(lab->dir, "tree", NULL), 0);
}

static void everything_belongs_to_the_jobs_user(void **state)
{
	struct lab *lab = *state;
	struct worktree_spec spec = {.owner = 1879049192};

	if (geteuid() != 0) {
		print_message(
			"SKIP everything_belongs_to_the_jobs_user: needs root to give files away\n");
		skip();
	}
	(void)lab_run(lab,
		      "cd r; mkdir d; echo x > d/x; ln -s x l; git add .; git commit -q -m one");
	assert_int_equal(check_out(lab, "main", spec, NULL), 0);
	assert_string_equal(lab_run(lab, "find tree -printf '%%U %%G\\n' | sort -u"),
			    "1879049192 1879049192");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_result_is_the_commits_tree),
		TEST(what_a_commit_deletes_is_not_there),
		TEST(a_submodule_is_an_empty_directory),
		TEST(an_empty_commit_is_an_empty_directory),
		TEST(names_that_reach_out_are_refused),
		TEST(a_git_directory_in_a_tree_is_refused),
		TEST(a_name_that_is_there_twice_is_refused),
		TEST(a_link_to_what_is_no_path_is_refused),
		TEST(a_tree_that_is_too_deep_is_refused),
		TEST(a_tree_of_too_many_bytes_is_refused),
		TEST(an_object_that_is_broken_is_named),
		TEST(a_checkout_can_be_stopped),
		TEST(everything_belongs_to_the_jobs_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
