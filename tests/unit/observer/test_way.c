/* What the dispatcher is told of a repository: every new commit, once, in order, whatever happens.
 */
#include "rig.h"

static void what_was_there_is_the_baseline(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	commit(r, "second: with a colon", id);
	push(r, "main");
	wait_events(r, 1);
	assert_string_equal(r->told[0].commit, id);
	assert_string_equal(r->told[0].ref, "refs/heads/main");
	assert_string_equal(r->told[0].name, "app");
	assert_string_equal(r->told[0].subject, "second: with a colon");
	assert_string_equal(r->told[0].author, "An Author <author@example.org>");
	assert_non_null(strstr(r->told[0].repository, "/app.git"));
	wait_for(r, cursor_holds(r, id));
	assert_int_equal(r->count, 1);
}

static void build_head_tells_the_tip_of_each_branch_once(void **state)
{
	struct rig *r = *state;
	char old[OID_HEX + 2], tip[OID_HEX + 2], side[OID_HEX + 2];

	git_says(r, old, "-C work rev-parse HEAD");
	sh(r, "git -C work tag v1");
	commit(r, "tip", tip);
	push(r, "main v1");
	sh(r, "git -C work checkout -q -b side");
	commit(r, "side", side);
	push(r, "side");
	r->options.build_head = true;
	observer_up(r);
	wait_events(r, 2);
	assert_string_equal(r->told[0].commit, tip);
	assert_string_equal(r->told[1].commit, side);
	wait_for(r, cursor_holds(r, "refs/tags/v1"));
	observer_down(r);
	observer_up(r); /* now it has been seen */
	sh(r, "git -C work checkout -q main");
	flush(r);
	assert_int_equal(r->count, 2);
	assert_false(was_told(r, old));
}

static void an_empty_repository_has_all_its_commits_tested(void **state)
{
	struct rig *r = *state;

	sh(r, "rm -rf app.git; git init -q --bare -b main app.git");
	sh(r, "git -C work commit -q --allow-empty -m two");
	r->options.build_head = true;
	observer_up(r);
	push(r, "main");
	wait_events(r, 2);
	assert_string_equal(r->told[0].subject, "base");
	assert_string_equal(r->told[1].subject, "two");
}

static void a_thousand_commits_of_one_push_come_in_order(void **state)
{
	struct rig *r = *state;
	char subject[20];

	observer_up(r);
	sh(r,
	   "i=0; while [ $i -lt 1000 ]; do printf 'commit refs/heads/main\\ncommitter A <a@x> 1700000000 "
	   "+0000\\ndata <<E\\nn%%d\\nE\\n' $i; [ $i -gt 0 ] || echo 'from refs/heads/main^0'; i=$((i+1)); "
	   "done | git -C work fast-import --quiet");
	push(r, "main");
	wait_events(r, 1000);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(subject, sizeof(subject), "n%d", i);
		assert_string_equal(r->told[i].subject, subject);
	}
	assert_true(r->most <= 64);
	flush(r);
	assert_int_equal(r->count, 1000);
}

static void parents_come_before_children_of_a_merge(void **state)
{
	struct rig *r = *state;

	observer_up(r);
	sh(r,
	   "cd work; git checkout -q -b side; git commit -q --allow-empty -m left; git checkout -q main; "
	   "git commit -q --allow-empty -m right; git merge -q --no-ff -m merge side; git commit -q "
	   "--allow-empty -m last");
	push(r, "main");
	wait_events(r, 4);
	assert_string_equal(r->told[2].subject, "merge");
	assert_string_equal(r->told[3].subject, "last");
	flush(r);
	assert_int_equal(r->count, 4);
}

static void a_commit_on_several_refs_is_told_once_by_its_best_name(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	commit(r, "one", id);
	sh(r, "git -C work branch a-branch; git -C work tag -a -m t a-tag");
	push(r, "--atomic a-branch a-tag main");
	wait_events(r, 1);
	flush(r);
	assert_int_equal(r->count, 1);
	assert_true(cursor_holds(r, "refs/heads/a-branch") && cursor_holds(r, "refs/tags/a-tag"));
}

static void annotated_tags_mean_their_commit(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	commit(r, "only tagged", id);
	sh(r,
	   "cd work; git tag -a -m inner inner; git tag -a -m outer outer inner; git tag tree HEAD^{tree}");
	push(r, "outer tree");
	wait_events(r, 1);
	assert_string_equal(r->told[0].commit, id);
	assert_string_equal(r->told[0].ref, "refs/tags/outer");
	flush(r);
	assert_int_equal(r->count, 1);
	assert_true(cursor_holds(r, "refs/tags/tree"));
}

static void a_force_push_brings_what_is_new_and_its_return_nothing(void **state)
{
	struct rig *r = *state;
	char first[OID_HEX + 2], other[OID_HEX + 2];

	observer_up(r);
	commit(r, "first", first);
	push(r, "main");
	wait_events(r, 1);
	sh(r, "git -C work checkout -q -b other HEAD~1");
	commit(r, "other", other);
	push(r, "other:main");
	wait_events(r, 2);
	assert_string_equal(r->told[1].commit, other);
	assert_string_equal(r->told[1].ref, "refs/heads/main");
	wait_for(r, cursor_holds(r, other));
	push(r, "main:main");
	sh(r, "git -C work checkout -q main");
	flush(r);
	assert_int_equal(r->count, 2);
}

static void a_renamed_branch_is_no_news(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	git_says(r, id, "-C work rev-parse HEAD");
	sh(r, "git -C app.git update-ref -d refs/heads/main");
	wait_for(r, !cursor_holds(r, "refs/heads/main"));
	assert_true(cursor_holds(r, "seen "));
	sh(r, "git -C app.git update-ref refs/heads/trunk %s", id);
	wait_for(r, cursor_holds(r, "refs/heads/trunk"));
	assert_int_equal(r->count, 0);
}

static void a_deleted_branch_that_comes_back_brings_what_is_new(void **state)
{
	struct rig *r = *state;
	char first[OID_HEX + 2], second[OID_HEX + 2];

	observer_up(r);
	sh(r, "git -C work checkout -q -b topic");
	commit(r, "first", first);
	push(r, "topic");
	wait_events(r, 1);
	push(r, ":topic");
	commit(r, "second", second);
	push(r, "topic");
	wait_for(r, was_told(r, second));
	sh(r, "git -C work checkout -q main");
	flush(r);
	assert_int_equal(r->count, 2);
}

static void nested_branches_and_packed_refs_are_seen(void **state)
{
	struct rig *r = *state;
	char one[OID_HEX + 2], two[OID_HEX + 2], three[OID_HEX + 2];

	observer_up(r);
	commit(r, "one", one);
	push(r, "main:refs/heads/a/b/c");
	wait_for(r, was_told(r, one));
	sh(r, "git -C app.git pack-refs --all --prune");
	commit(r, "two", two);
	push(r, ":refs/heads/a/b/c");
	push(r, "main:refs/heads/a");
	wait_for(r, was_told(r, two));
	commit(r, "three", three);
	sh(r,
	   "git -C work push -q ../app.git main:refs/hidden/x; git -C app.git pack-refs --all; "
	   "id=$(git -C work rev-parse HEAD); cd app.git; sed -i \"\\$a $id refs/heads/zz\" packed-refs");
	wait_for(r, was_told(r, three));
	flush(r);
	assert_int_equal(r->count, 3);
}

static void working_directories_and_linked_ones_are_watched(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	sh(r,
	   "git init -q -b main user; cd user; git commit -q --allow-empty -m base; git worktree add -q ../linked");
	options_done(&r->options);
	r->options.state = strdup("");
	(void)asprintf(&r->options.dispatcher, "unix:%s/socket", r->dir);
	free(r->options.state);
	(void)asprintf(&r->options.state, "%s/state", r->dir);
	r->options.poll_ms = 3600 * 1000;
	repository_is(r, "linked");
	observer_up(r);
	sh(r,
	   "cd user; git commit -q --allow-empty -m 'from the main one'; cd ../linked; git commit -q "
	   "--allow-empty -m linked");
	git_says(r, id, "-C linked rev-parse HEAD");
	wait_events(r, 2);
	assert_true(was_told(r, id));
	assert_non_null(strstr(r->told[0].repository, "/linked"));
}

static void a_filter_says_which_refs_count(void **state)
{
	struct rig *r = *state;
	char wanted[OID_HEX + 2], other[OID_HEX + 2];

	r->options.repositories[0].refs = calloc(2, sizeof(char *));
	r->options.repositories[0].refs[0] = strdup("refs/heads/release/*");
	observer_up(r);
	commit(r, "other", other);
	push(r, "main");
	sh(r, "git -C work checkout -q --orphan fresh");
	commit(r, "wanted", wanted);
	push(r, "fresh:refs/heads/release/1");
	wait_events(r, 1);
	wait_for(r, cursor_holds(r, wanted));
	assert_int_equal(r->count, 1);
	assert_string_equal(r->told[0].commit, wanted);
}

static void commits_made_while_it_was_away_are_told(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	observer_down(r);
	commit(r, "one", id);
	commit(r, "two", id);
	push(r, "main");
	observer_up(r);
	wait_events(r, 2);
	assert_string_equal(r->told[0].subject, "one");
	assert_string_equal(r->told[1].subject, "two");
}

static void ids_that_gc_took_hide_nothing_and_break_nothing(void **state)
{
	struct rig *r = *state;
	char gone[OID_HEX + 2], id[OID_HEX + 2];

	sh(r, "git -C work checkout -q --orphan doomed");
	commit(r, "doomed", gone);
	push(r, "doomed");
	observer_up(r);
	observer_down(r);
	push(r, ":doomed");
	sh(r,
	   "git -C app.git reflog expire --all --expire=now; git -C app.git gc -q --prune=now; git -C work "
	   "checkout -q main");
	commit(r, "next", id);
	push(r, "main");
	observer_up(r);
	wait_events(r, 1);
	flush(r);
	assert_int_equal(r->count, 1);
	assert_string_equal(r->told[0].commit, id);
}

static void a_flood_of_inotify_loses_nothing(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	observer_up(r);
	commit(r, "in the flood", id);
	sh(r, "git -C work push -q ../app.git HEAD:refs/hidden/x"); /* the objects */
	for (int i = 0; i < 17000; i++) {
		char path[100];

		(void)snprintf(path, sizeof(path), "%s/app.git/refs/heads/x%d", r->dir, i & 1);
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(rmdir(path), 0);
	}
	sh(r, "cd app.git/refs/heads; mkdir -p new/deep; echo %s >new/deep/branch", id);
	wait_events(r, 1);
	assert_string_equal(r->told[0].ref, "refs/heads/new/deep/branch");
	commit(r, "after", id);
	push(r, "HEAD:new/deep/branch");
	wait_for(r, was_told(r, id));
}

static void a_repository_that_goes_is_missed_once_and_found_again(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2], other[OID_HEX + 2];

	sh(r, "git clone -q --bare app.git second.git");
	repository_is(r, "second.git");
	r->options.poll_ms = 200;
	observer_up(r);
	sh(r, "mv app.git away");
	wait_for(r, observer_directories(r->observer) < 7);
	commit(r, "elsewhere", other);
	sh(r, "git -C work push -q ../second.git main");
	wait_for(r, was_told(r, other));
	commit(r, "meanwhile", id);
	sh(r, "git -C work push -q ../away main; mv away app.git");
	wait_for(r, was_told(r, id));
}

static void polling_finds_what_inotify_did_not_tell(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	r->options.poll_ms = 100;
	sh(r, "mkdir real; mv app.git/refs real/refs; ln -s ../real/refs app.git/refs");
	observer_up(r); /* refs are behind a link, which is not followed by the watches */
	commit(r, "one", id);
	push(r, "main");
	wait_for(r, was_told(r, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_was_there_is_the_baseline),
		RIG_TEST(build_head_tells_the_tip_of_each_branch_once),
		RIG_TEST(an_empty_repository_has_all_its_commits_tested),
		RIG_TEST(a_thousand_commits_of_one_push_come_in_order),
		RIG_TEST(parents_come_before_children_of_a_merge),
		RIG_TEST(a_commit_on_several_refs_is_told_once_by_its_best_name),
		RIG_TEST(annotated_tags_mean_their_commit),
		RIG_TEST(a_force_push_brings_what_is_new_and_its_return_nothing),
		RIG_TEST(a_renamed_branch_is_no_news),
		RIG_TEST(a_deleted_branch_that_comes_back_brings_what_is_new),
		RIG_TEST(nested_branches_and_packed_refs_are_seen),
		RIG_TEST(working_directories_and_linked_ones_are_watched),
		RIG_TEST(a_filter_says_which_refs_count),
		RIG_TEST(commits_made_while_it_was_away_are_told),
		RIG_TEST(ids_that_gc_took_hide_nothing_and_break_nothing),
		RIG_TEST(a_flood_of_inotify_loses_nothing),
		RIG_TEST(a_repository_that_goes_is_missed_once_and_found_again),
		RIG_TEST(polling_finds_what_inotify_did_not_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
