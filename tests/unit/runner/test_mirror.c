/* not under valgrind: libgit2 1.5 loses memory when it checks the format of a repository with
 * extensions */
#include "runner/mirror.h"
#include "runner/plan.h"
#include "runner/disk.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/runner/repository.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>

#include <cmocka.h>
#include <sys/resource.h>

/* libgit2 1.5 never frees what PCRE2 needed to match the keys of a repository's settings. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcre2";
}

static int setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	lab_open(lab);
	(void)lab_run(
		lab,
		"mkdir mirrors; git init -q --bare -b main r.git; git init -q -b main s; cd s\n"
		"echo one > a; git add a; git commit -q -m 'first: it'; git tag -a -m t v1\n"
		"git push -q ../r.git main v1");
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

static int find(struct lab *lab, const char *repository, const char *revision,
		struct git_commit *commit, bool *copied, struct error *err)
{
	owned(git) *git = NULL;
	char mirrors[96];
	const struct mirror_spec spec = {
		.mirrors = mirrors, .repository = repository, .revision = revision};

	(void)snprintf(mirrors, sizeof(mirrors), "%s/mirrors", lab->path);
	return mirror_open(&spec, &git, commit, copied, err);
}

static int find_local(struct lab *lab, const char *name, const char *revision,
		      struct git_commit *commit, struct error *err)
{
	char path[128];
	bool copied;

	(void)snprintf(path, sizeof(path), "%s/%s", lab->path, name);
	return find(lab, path, revision, commit, &copied, err);
}

static void assert_says(const struct error *err, const char *word)
{
	if (!strstr(err->text, word))
		fail_msg("no '%s' in: %s", word, err->text);
}

static void every_kind_of_revision_finds_the_commit(void **state)
{
	struct lab *lab = *state;
	char id[48], brief[48];
	const char *revisions[] = {
		"HEAD", "main", "refs/heads/main", "heads/main", "v1", "refs/tags/v1", id, brief};

	(void)snprintf(id, sizeof(id), "%s", lab_run(lab, "git -C s rev-parse main"));
	(void)snprintf(brief, sizeof(brief), "%.8s", id);
	for (size_t i = 0; i < sizeof(revisions) / sizeof(*revisions); i++) {
		struct git_commit commit;
		struct error err = {0};

		if (find_local(lab, "r.git", revisions[i], &commit, &err) < 0)
			fail_msg("%s: %s", revisions[i], err.text);
		assert_string_equal(commit.id, id);
		assert_string_equal(commit.subject, "first: it");
		assert_string_equal(commit.author, "T <t@example.org>");
		assert_int_equal(commit.time, 1700000000);
	}
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const wrong[] = {"",
					    "-x",
					    "--upload-pack=touch x",
					    "../../etc/passwd",
					    "a b",
					    "main~1",
					    "main^",
					    "HEAD@{1}",
					    ":/first",
					    "main:a",
					    "/x",
					    "a\nb",
					    "*"};
	struct lab *lab = *state;
	struct git_commit commit;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(find_local(lab, "r.git", wrong[i], &commit, NULL), -EINVAL);
}

static void what_is_not_there_is_told(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;
	struct error err = {0};

	assert_int_equal(find_local(lab, "r.git", "nobranch", &commit, &err), -ENOENT);
	assert_says(&err, "'nobranch'");
	assert_int_equal(find_local(lab, "nowhere", "main", &commit, &err), -ENOENT);
	assert_says(&err, "/nowhere: No such file");
	(void)lab_run(lab, "mkdir plain");
	assert_int_equal(find_local(lab, "plain", "main", &commit, &err), -ENOENT);
	assert_says(&err, "there is no git repository");
}

static long peak_kilobytes(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* A gigabyte of nothing is a megabyte of objects. */
static void what_is_too_large_is_told_before_it_is_unpacked(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;
	struct error err = {0};
	long before = peak_kilobytes();

	(void)lab_run(
		lab,
		"git init -q huge; cd huge; git -c core.bigFileThreshold=1m tag huge "
		"$(head -c 400M /dev/zero | git -c core.bigFileThreshold=1m hash-object -w --stdin)");
	assert_true(find_local(lab, "huge", "huge", &commit, &err) < 0);
	assert_says(&err, "too large");
	assert_true(peak_kilobytes() - before < 100 << 10);
}

static void a_repository_of_sha256_names_is_refused_with_the_remedy(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;
	struct error err = {0};

	(void)lab_run(lab, "git init -q --object-format=sha256 new");
	assert_int_equal(find_local(lab, "new", "HEAD", &commit, &err), -ENOTSUP);
	assert_says(&err, "SHA-256");
}

static void a_working_directory_is_a_repository_too(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;

	(void)lab_run(lab, "git -C s config extensions.worktreeConfig true; git -C s config "
			   "core.repositoryFormatVersion 1");
	assert_int_equal(find_local(lab, "s", "HEAD", &commit, NULL), 0);
	(void)lab_run(lab, "git -C s worktree add -q ../linked -b side");
	assert_int_equal(find_local(lab, "linked", "side", &commit, NULL), 0);
}

static void only_known_kinds_of_repositories_are_taken(void **state)
{
	static const char *const wrong[] = {"relative/path",
					    "ext::sh -c x",
					    "-oProxyCommand=x@y:z",
					    "host:path",
					    "ftp://x/y",
					    "user@host::x",
					    "",
					    "@x:y"};
	struct lab *lab = *state;
	struct git_commit commit;
	bool copied;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct error err = {0};

		if (find(lab, wrong[i], "main", &commit, &copied, &err) != -EINVAL)
			fail_msg("taken: %s (%s)", wrong[i], err.text);
	}
}

static void a_file_url_is_a_path(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;
	char url[128];
	bool copied = true;

	(void)snprintf(url, sizeof(url), "file://%s/r.git", lab->path);
	assert_int_equal(find(lab, url, "main", &commit, &copied, NULL), 0);
	assert_false(copied);
	assert_string_equal(lab_run(lab, "ls mirrors"), "");
}

static int find_allowed(struct lab *lab, const char *entry, const char *repository,
			struct error *err)
{
	const char *const allowed[] = {entry, NULL};
	owned(git) *git = NULL;
	struct git_commit commit;
	char mirrors[96];
	bool copied;
	const struct mirror_spec spec = {.mirrors = mirrors,
					 .repository = repository,
					 .revision = "main",
					 .allowed = allowed};

	(void)snprintf(mirrors, sizeof(mirrors), "%s/mirrors", lab->path);
	return mirror_open(&spec, &git, &commit, &copied, err);
}

static void what_the_owner_does_not_allow_is_not_even_looked_at(void **state)
{
	struct lab *lab = *state;
	char inside[128], outside[128], link[128], root[128];
	struct error err = {0};

	(void)lab_run(
		lab,
		"mkdir srv; mv r.git srv/r.git; git init -q --bare o.git; ln -s ../o.git srv/l");
	(void)snprintf(root, sizeof(root), "%s/srv", lab->path);
	(void)snprintf(inside, sizeof(inside), "%s/srv/r.git", lab->path);
	(void)snprintf(outside, sizeof(outside), "file://%s/srv/../o.git", lab->path);
	(void)snprintf(link, sizeof(link), "%s/srv/l", lab->path);
	assert_int_equal(find_allowed(lab, root, inside, &err), 0);
	assert_int_equal(find_allowed(lab, root, outside, &err), -EPERM);
	assert_says(&err, "repositories:");
	assert_int_equal(find_allowed(lab, root, link, &err), -EPERM);
	/* nothing listens there: it would be another error */
	assert_int_equal(find_allowed(lab, root, "http://127.0.0.1:1/x.git", &err), -EPERM);
	assert_says(&err, "http://127.0.0.1:1/x.git");
	assert_int_equal(find_allowed(lab, "http://127.0.0.1:1", inside, &err), -EPERM);
}

static void settings_of_a_repository_are_not_obeyed(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;

	(void)lab_run(
		lab,
		"cd r.git; git config core.hooksPath /tmp; git config core.fsmonitor 'touch x'\n"
		"git config filter.x.smudge 'touch x'; git config core.gitProxy 'touch x'\n"
		"git config core.sshCommand 'touch x'; git config include.path /nowhere");
	assert_int_equal(find_local(lab, "r.git", "main", &commit, NULL), 0);
	(void)lab_run(lab, "test ! -e x -a ! -e r.git/x");
}

/* --- over the network
 * ------------------------------------------------------------------------------ */

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(a);
	owned_fd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &length) < 0)
		abort();
	return ntohs(a.sin_port);
}

static bool answers(int port)
{
	const struct sockaddr_in a = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons((uint16_t)port)};
	owned_fd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
}

static pid_t start_git_daemon(struct lab *lab, int port)
{
	char number[24], base[96];
	int64_t deadline = clock_boot_ms() + 10000;
	pid_t pid;

	(void)snprintf(number, sizeof(number), "--port=%d", port);
	(void)snprintf(base, sizeof(base), "--base-path=%s", lab->path);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave it */
		(void)setenv("PATH", "/usr/lib/git-core:/usr/bin:/bin",
			     1); /* it starts itself anew */
		execlp("git-daemon", "git-daemon", "--export-all", "--listen=127.0.0.1", number,
		       base, (char *)NULL);
		_exit(127);
	}
	while (!answers(port) && clock_boot_ms() < deadline)
		(void)poll(NULL, 0, 10);
	return pid;
}

/* A repository behind a daemon, mirrored once; 0: there is no daemon here. */
static pid_t start_remote(struct lab *lab, char url[64], struct git_commit *first)
{
	int port = free_port();
	struct error err = {0};
	bool copied;
	pid_t daemon;

	if (access("/usr/lib/git-core/git-daemon", X_OK) < 0) {
		print_message("SKIP: there is no git daemon\n");
		return 0;
	}
	(void)snprintf(url, 64, "git://127.0.0.1:%d/r.git", port);
	daemon = start_git_daemon(lab, port);
	if (find(lab, url, "main", first, &copied, &err) < 0)
		fail_msg("%s", err.text);
	return daemon;
}

static void stop_remote(pid_t daemon)
{
	(void)kill(daemon, SIGTERM);
	(void)waitpid(daemon, NULL, 0);
}

static void a_fetch_that_was_killed_harms_no_later_one(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit;
	struct error err = {0};
	char url[64];
	bool copied;
	pid_t daemon = start_remote(lab, url, &commit);

	if (!daemon)
		skip();
	(void)lab_run(lab, "cd mirrors/*.git; : > refs/heads/main.lock; : > config.lock\n"
			   "echo half > objects/pack/pack_git2_abc; cd ../../s\n"
			   "git commit -q --allow-empty -m two; git push -q ../r.git main");
	if (find(lab, url, "main", &commit, &copied, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(commit.subject, "two");
	assert_string_equal(lab_run(lab, "find mirrors/*.git -name '*.lock' -o -name 'pack_git2*'"),
			    "");
	stop_remote(daemon);
}

static void a_damaged_mirror_is_cloned_anew(void **state)
{
	static const char *const damages[] = {
		"for p in objects/pack/*.pack; do chmod u+w $p; : > $p; done",
		"echo > HEAD; for r in refs/heads/*; do : > $r; done",
		"for p in objects/pack/*; do chmod u+w $p; : > $p; done",
	};
	struct lab *lab = *state;
	struct git_commit commit;
	char url[64], id[48];
	bool copied;
	pid_t daemon = start_remote(lab, url, &commit);

	if (!daemon)
		skip();
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		struct error err = {0};

		(void)lab_run(lab, "cd mirrors/*.git; %s", damages[i]);
		(void)snprintf(id, sizeof(id), "%s",
			       lab_run(lab,
				       "cd s; git commit -q --allow-empty -m %zu\n"
				       "git push -q ../r.git main; git rev-parse HEAD",
				       i));
		if (find(lab, url, id, &commit, &copied, &err) < 0)
			fail_msg("%s: %s", damages[i], err.text);
	}
	stop_remote(daemon);
}

static void a_fetch_stops_before_it_fills_the_disk(void **state)
{
	struct lab *lab = *state;
	owned(git) *git = NULL;
	struct git_commit commit;
	struct error err = {0};
	char mirrors[96], url[64];
	bool copied;
	struct mirror_spec spec = {.mirrors = mirrors, .repository = url, .revision = "main"};
	pid_t daemon = start_remote(lab, url, &commit);

	if (!daemon)
		skip();
	(void)snprintf(mirrors, sizeof(mirrors), "%s/mirrors", lab->path);
	(void)lab_run(lab, "cd s; echo two > b; git add b; git commit -q -m two\n"
			   "git push -q ../r.git main");
	spec.disk_least = UINT64_MAX;
	assert_int_equal(mirror_open(&spec, &git, &commit, &copied, &err), -ENOSPC);
	assert_says(&err, "disk");
	assert_string_equal(lab_run(lab, "find mirrors -name 'pack_git2*' -o -name 'tmp*'"), "");
	spec.disk_least = 1;
	assert_int_equal(mirror_open(&spec, &git, &commit, &copied, &err), 0);
	assert_string_equal(commit.subject, "two");
	stop_remote(daemon);
}

static int nothing(void *context, const void *bytes, size_t length)
{
	(void)context;
	(void)bytes;
	(void)length;
	return 0;
}

static void what_is_not_whole_is_told_apart_and_forgotten(void **state)
{
	struct lab *lab = *state;
	owned(git) *git = NULL;
	struct git_commit commit;
	struct error err = {0};
	char path[128], mirrors[96], url[64];
	const struct mirror_spec spec = {.mirrors = mirrors, .repository = url};
	pid_t daemon = start_remote(lab, url, &commit);

	if (!daemon)
		skip();
	(void)snprintf(path, sizeof(path), "%s/r.git", lab->path);
	(void)snprintf(mirrors, sizeof(mirrors), "%s/mirrors", lab->path);
	assert_int_equal(git_open(path, &git, NULL), 0);
	assert_int_equal(
		git_each(git, "1234567890123456789012345678901234567890", NULL, NULL, &err),
		-EUCLEAN);
	assert_int_equal(
		git_file(git, "1234567890123456789012345678901234567890", 9, nothing, NULL, &err),
		-EUCLEAN);
	mirror_forget(&spec);
	assert_string_equal(lab_run(lab, "find mirrors -name '*.git'"), "");
	stop_remote(daemon);
}

static void a_remote_is_mirrored_and_followed(void **state)
{
	struct lab *lab = *state;
	struct git_commit commit, again;
	struct error err = {0};
	int port = free_port();
	char url[64];
	bool copied = false;
	pid_t daemon;

	if (access("/usr/lib/git-core/git-daemon", X_OK) < 0) {
		print_message("SKIP a_remote_is_mirrored_and_followed: there is no git daemon\n");
		skip();
	}
	(void)snprintf(url, sizeof(url), "git://127.0.0.1:%d/r.git", port);
	daemon = start_git_daemon(lab, port);
	if (find(lab, url, "HEAD", &commit, &copied, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(copied);
	/* a branch gives way to a directory of branches; another appears; one moves */
	(void)lab_run(lab, "cd s; git checkout -q -b topic; git push -q ../r.git topic");
	assert_int_equal(find(lab, url, "topic", &again, &copied, NULL), 0);
	(void)lab_run(lab, "cd s; git push -q ../r.git :topic; git branch -m topic topic/x\n"
			   "git commit -q --allow-empty -m two; git push -q ../r.git topic/x");
	if (find(lab, url, "topic/x", &again, &copied, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(again.subject, "two");
	assert_int_equal(find(lab, url, "topic", &again, &copied, &err), -ENOENT);
	(void)kill(daemon, SIGTERM);
	(void)waitpid(daemon, NULL, 0);
	/* what came needs no network; what didn't is told */
	assert_int_equal(find(lab, url, commit.id, &again, &copied, &err), 0);
	assert_true(find(lab, url, "main", &again, &copied, &err) < 0);
	assert_says(&err, "fetch from git://127.0.0.1");
}

/* --- from commits to jobs
 * --------------------------------------------------------------------------- */

static void the_jobs_of_a_commit_are_read_from_its_objects(void **state)
{
	struct lab *lab = *state;
	owned(git) *git = NULL;
	owned(jobfile) *jobs = NULL;
	struct git_commit commit;
	struct jobfile *none = NULL;
	struct error err = {0};
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/s", lab->path);
	assert_int_equal(git_open(path, &git, NULL), 0);
	assert_int_equal(git_resolve(git, "main", &commit, NULL), 0);
	assert_int_equal(plan_jobs(git, &commit, &none, &err), -ENOENT);
	(void)lab_run(lab, "cd s; mkdir .ci; printf '#!/bin/sh\\n' > .ci/run; chmod +x .ci/run\n"
			   "git add .; git commit -q -m ci; chmod -x .ci/run");
	assert_int_equal(git_resolve(git, "main", &commit, NULL), 0);
	assert_int_equal(plan_jobs(git, &commit, &jobs, NULL), 0);
	assert_string_equal(jobs->jobs[0]->rule, ".ci/run");
}

static void a_working_directory_is_copied_as_it_is(void **state)
{
	struct lab *lab = *state;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/s", lab->path);
	(void)lab_run(
		lab,
		"cd s; echo '*.o' > .gitignore; mkdir -p d/e; echo x > d/e/f; echo o > d/x.o\n"
		"ln -s f d/e/l; chmod +x d/e/f; echo two >> a; echo gone > g; git add g; rm g\n"
		"git config core.autocrlf true");
	assert_int_equal(disk_copy(path, lab->dir, "copy", (uid_t)-1, NULL), 0);
	assert_string_equal(
		lab_run(lab, "cd copy; find . -type f -o -type l | sort; cat a; readlink d/e/l\n"
			     "stat -c %%a d/e/f"),
		"./.gitignore\n./a\n./d/e/f\n./d/e/l\none\ntwo\nf\n755");
}

static void a_directory_without_repository_is_copied_whole(void **state)
{
	struct lab *lab = *state;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/p", lab->path);
	(void)lab_run(
		lab,
		"mkdir -p p/q/.git p/.git; echo x > p/q/r; echo y > p/q/.git/z; mkfifo p/pipe");
	assert_int_equal(disk_copy(path, lab->dir, "copy", (uid_t)-1, NULL), 0);
	assert_string_equal(lab_run(lab, "cd copy; find . | sort"), ".\n./q\n./q/r");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_kind_of_revision_finds_the_commit),
		TEST(what_is_no_name_is_refused),
		TEST(what_is_not_there_is_told),
		TEST(what_is_too_large_is_told_before_it_is_unpacked),
		TEST(a_repository_of_sha256_names_is_refused_with_the_remedy),
		TEST(a_working_directory_is_a_repository_too),
		TEST(only_known_kinds_of_repositories_are_taken),
		TEST(a_file_url_is_a_path),
		TEST(what_the_owner_does_not_allow_is_not_even_looked_at),
		TEST(settings_of_a_repository_are_not_obeyed),
		TEST(a_remote_is_mirrored_and_followed),
		TEST(a_fetch_that_was_killed_harms_no_later_one),
		TEST(a_damaged_mirror_is_cloned_anew),
		TEST(a_fetch_stops_before_it_fills_the_disk),
		TEST(what_is_not_whole_is_told_apart_and_forgotten),
		TEST(the_jobs_of_a_commit_are_read_from_its_objects),
		TEST(a_working_directory_is_copied_as_it_is),
		TEST(a_directory_without_repository_is_copied_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
