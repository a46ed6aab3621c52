/* not under valgrind: libgit2 1.5 loses memory when it checks the format of a repository with
 * extensions */
/* Repositories of formats beyond the plain one: what can be read is, the rest is refused in a
 * sentence. */
#include "rig.h"

/* libgit2 1.5 loses the match data of every setting that isn't an extension when it checks the
 * format of a repository that has some; the observer checks each repository once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcre2\n";
}

static void names_by_sha256_are_refused(void **state)
{
	struct rig *r = *state;

	sh(r, "git init -q --bare --object-format=sha256 new.git");
	refused_for(r, "new.git", "SHA-256", "SHA-1");
}

static void a_reftable_is_refused(void **state)
{
	struct rig *r = *state;

	sh(r,
	   "git init -q --bare table.git; cd table.git; git config core.repositoryformatversion 1; git config "
	   "extensions.refstorage reftable");
	refused_for(r, "table.git", "reftable", "git refs migrate");
}

static void settings_of_worktrees_are_no_obstacle(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	sh(r,
	   "cd app.git; git config core.repositoryformatversion 1; git config extensions.worktreeConfig true");
	observer_up(r);
	for (int i = 0; i < 3; i++) {
		commit(r, "one more", id);
		push(r, "main");
		wait_for(r, was_told(r, id));
	}
}

static void a_format_that_changes_under_us_is_noticed(void **state)
{
	struct rig *r = *state;
	char id[OID_HEX + 2];

	r->options.poll_ms = 100;
	observer_up(r);
	sh(r,
	   "cd app.git; git config core.repositoryformatversion 1; git config extensions.refstorage reftable");
	wait_for(r,
		 observer_directories(r->observer) == 0); /* given up until it can be read again */
	sh(r, "sed -i /refstorage/Id app.git/config");
	commit(r, "back", id);
	push(r, "main");
	wait_for(r, was_told(r, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(names_by_sha256_are_refused),
		RIG_TEST(a_reftable_is_refused),
		RIG_TEST(settings_of_worktrees_are_no_obstacle),
		RIG_TEST(a_format_that_changes_under_us_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
