"""The way of a commit: what is pushed is tested, once, in order, whatever happens to the branches."""
import unittest

from harness import GATE, SystemTest, free_port, is_served, job_of, jobs_of, wait_until
from repository import EXECUTABLE, git, job_file

PASS = job_file(test="true")
DECIDED = GATE + "\ntest -e good"


class Way(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()

    def start(self, **runner):
        self.lab.all_parts(self.repository, **runner)

    def test_a_pushed_commit_is_tested_and_its_verdict_kept(self):
        self.start()
        commit = self.repository.run("echo hello; git --version >/dev/null 2>&1 || true; cat .cupel.yml")
        run = self.assert_verdict(self.lab.verdict_of(commit), "passed")
        self.assertEqual(run["commit"], commit)
        self.assertEqual(run["ref"], "refs/heads/main")
        self.assertTrue(run["reason"], "every verdict has a reason")
        self.assertEqual(len(jobs_of(run)), 1)
        self.assertTrue(self.lab.log(run["id"]).startswith(b"hello\njobs:\n"))

    def test_a_commit_that_breaks_a_test_is_told_so(self):
        """The classic design cached the tests of the first commit and said OK for ever."""
        self.start()
        script = "sh ./suite"
        for body, verdict in (("true", "passed"), ("exit 3", "failed"), ("true", "passed")):
            commit = self.repository.commit({".cupel.yml": job_file(test=script), "suite": body})
            self.repository.push()
            run = self.assert_verdict(self.lab.verdict_of(commit), verdict)
            if verdict == "failed":
                self.assertEqual(job_of(run)["attempts"][0]["exit_code"], 3)
                self.assertIn("3", job_of(run)["reason"])

    def test_every_commit_of_one_push_is_tested_in_order(self):
        self.start()
        commits = self.repository.commits([{".cupel.yml": PASS, "n": str(i)} for i in range(5)])
        self.repository.push()
        ids = [self.lab.run_of(commit) for commit in commits]
        self.assertEqual(ids, sorted(ids))
        for run in ids:
            self.assert_verdict(self.lab.ended(run), "passed")

    def test_what_was_there_before_is_the_baseline(self):
        old = self.repository.run("true")
        self.start()
        new = self.repository.run("true")
        self.lab.run_of(new)
        self.assertNotIn(old, [run["commit"] for run in self.lab.runs()])

    def test_build_head_tests_what_is_there(self):
        old = self.repository.run("true")
        self.lab.dispatcher()
        self.lab.runner()
        self.lab.observer(self.repository, build_head=True)
        self.assert_verdict(self.lab.verdict_of(old), "passed")

    def test_branches_and_tags_are_seen(self):
        self.start()
        branch = self.repository.run("true", branch="topic/colon-and.dots")
        tagged = self.repository.commit(PASS, branch="side")
        git(self.repository.staging, "tag", "v1.0", tagged)
        self.repository.push("v1.0")
        self.assertEqual(self.lab.verdict_of(branch)["ref"], "refs/heads/topic/colon-and.dots")
        self.assertEqual(self.lab.verdict_of(tagged)["ref"], "refs/tags/v1.0")

    def test_an_annotated_tag_means_its_commit(self):
        self.start()
        tagged = self.repository.commit(PASS, branch="side")
        git(self.repository.staging, "-c", "user.name=T", "-c", "user.email=t@example.org",
            "tag", "-a", "-m", "a tag: with colons", "v2.0", tagged)
        self.repository.push("v2.0")
        self.assert_verdict(self.lab.verdict_of(tagged), "passed")

    def test_a_force_push_is_tested_and_loses_nothing(self):
        base = self.repository.run("true")
        self.start()
        first = self.repository.run("true")
        self.lab.run_of(first)
        other = self.repository.commit({".cupel.yml": PASS, "other": "1"}, parent=base)
        self.repository.push()
        self.assert_verdict(self.lab.verdict_of(other), "passed")
        self.assert_verdict(self.lab.verdict_of(first), "passed")

    def test_a_deleted_and_recreated_branch_is_seen_again(self):
        self.start()
        first = self.repository.run("true", branch="topic")
        self.lab.run_of(first)
        self.repository.push(":refs/heads/topic")
        second = self.repository.run("true", branch="topic")
        self.assert_verdict(self.lab.verdict_of(second), "passed")
        self.assertEqual(sum(run["commit"] == first for run in self.lab.runs()), 1)

    def test_packed_refs_are_seen(self):
        self.start()
        first = self.repository.run("true")
        self.lab.run_of(first)
        second = self.repository.commit(PASS)
        git(self.repository.staging, "push", "-q", self.repository.path, f"{second}:refs/hidden/x")
        self.repository.git("update-ref", "refs/heads/packed", second)
        self.repository.git("pack-refs", "--all", "--prune")
        self.assert_verdict(self.lab.verdict_of(second), "passed")

    def test_the_same_commit_on_two_branches_is_one_run(self):
        self.start()
        commit = self.repository.run("true")
        self.repository.push("main:refs/heads/copy")
        last = self.repository.run("true")
        self.lab.verdict_of(last)
        self.assertEqual(sum(run["commit"] == commit for run in self.lab.runs()), 1)

    def test_two_repositories_are_watched_by_one_observer(self):
        other = self.lab.repository("other")
        self.lab.all_parts(self.repository, other)
        one, two = self.repository.run("true"), other.run("exit 1")
        self.assertEqual(self.assert_verdict(self.lab.verdict_of(one), "passed")["name"], "sample")
        self.assertEqual(self.assert_verdict(self.lab.verdict_of(two), "failed")["name"], "other")

    def test_a_remote_repository_is_polled_and_mirrored(self):
        port = free_port()
        url = f"git://127.0.0.1:{port}/sample.git"
        self.lab.start("git-daemon", "/usr/bin/git", [
            "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}",
            f"--base-path={self.repository.path.parent}", str(self.repository.path.parent)], ready=False)
        wait_until(lambda: is_served(port), "git daemon serves")
        self.repository.run("true")
        self.lab.dispatcher()
        self.lab.runner()
        self.lab.observer(url, poll="200ms")
        commits = self.repository.commits([{".cupel.yml": PASS, "n": str(i)} for i in range(3)])
        self.repository.push()
        for commit in commits:
            run = self.assert_verdict(self.lab.verdict_of(commit), "passed")
            self.assertEqual(run["repository"], url)


class Jobs(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()
        self.lab.dispatcher()
        self.lab.runner()

    def submit(self, files):
        self.repository.commit(files)
        self.repository.push()
        return self.lab.submit(self.repository)

    def names(self, run):
        return {job["name"]: job["verdict"] for job in jobs_of(run)}

    def test_needs_hold_and_skip(self):
        run = self.lab.ended(self.submit(job_file(
            build="true", good={"run": "true", "needs": "[build]"}, bad={"run": "exit 1", "needs": "[build]"},
            last={"run": "true", "needs": "[good, bad]"})))
        self.assertEqual(self.names(run), {"build": "passed", "good": "passed", "bad": "failed", "last": "skipped"})
        self.assert_verdict(run, "failed")
        self.assertIn("bad", job_of(run, "last")["reason"])

    def test_a_matrix_is_a_job_for_each_value_with_its_variable(self):
        run = self.lab.ended(self.submit(job_file(
            test={"run": 'test "$WORD" != wrong; echo "word: $WORD"', "matrix": "{WORD: [one, two, wrong]}"})))
        self.assertEqual(sorted(self.names(run).values()), ["failed", "passed", "passed"])
        for job in jobs_of(run):
            self.assertIn("WORD=", job["name"])

    def test_the_environment_says_what_is_tested(self):
        run = self.lab.ended(self.submit(job_file(test={"run": "env", "env": "{GREETING: 'hello: world'}"})))
        self.assert_verdict(run, "passed")
        words = dict(line.split("=", 1) for line in self.lab.log(run["id"]).decode().splitlines() if "=" in line)
        self.assertEqual(words["CI"], "true")
        self.assertEqual(words["CUPEL_COMMIT"], run["commit"])
        self.assertEqual(words["CUPEL_RUN"], str(run["id"]))
        self.assertEqual(words["GREETING"], "hello: world")
        self.assertNotIn("CUPEL_TEST_PROCESS", words, "nothing of the daemon's environment gets in")

    def test_no_job_file_is_needed(self):
        script = (EXECUTABLE, "#!/bin/sh\necho found me\n")
        for files in ({"Makefile": "check:\n\t@echo found me\n"}, {".ci/run": script}, {"ci/run": script}):
            run = self.lab.ended(self.submit(files))
            self.assert_verdict(run, "passed")
            self.assertIn(b"found me", self.lab.log(run["id"]))

    def test_a_bad_job_file_is_told_by_line_and_column(self):
        run = self.lab.ended(self.submit("jobs:\n  test:\n    run: true\n    wal: 3m\n"))
        self.assert_verdict(run, "errored")
        self.assertRegex(run["reason"], r"\.cupel\.yml:4:\d+: ")
        self.assertIn("wal", run["reason"])

    def test_nothing_to_test_is_told_with_what_would_be_needed(self):
        run = self.lab.ended(self.submit({"README": "nothing\n"}))
        self.assert_verdict(run, "errored")
        self.assertIn(".cupel.yml", run["reason"])

    def test_a_revision_that_is_not_there_is_an_error_in_words(self):
        self.repository.run("true")
        for revision in ("no-such-branch", "f" * 40):
            run = self.lab.ended(self.lab.submit(self.repository, revision))
            self.assert_verdict(run, "errored")
            self.assertIn(revision[:12], run["reason"])

    def test_a_revision_is_never_an_option_or_a_path(self):
        self.repository.run("true")
        for revision in ("--upload-pack=touch /tmp/cupel-was-here", "../../etc/passwd"):
            done = self.lab.cupel("submit", "--json", "--", self.repository.path, revision)
            if done.returncode == 0:
                run = self.lab.ended(max(run["id"] for run in self.lab.runs()))
                self.assert_verdict(run, "errored")

    def test_a_busy_runner_leaves_the_job_to_another(self):
        """Both slots of one are taken; the third job runs on the other at once."""
        self.lab.runner("two", slots=1)
        self.lab.connected(2)
        self.repository.run(GATE)
        runs = [self.lab.submit(self.repository) for _ in range(3)]
        held = {self.lab.running(run)["runner"] for run in runs}
        self.assertEqual(held, {"one", "two"})
        for name in held:
            self.lab.let_go(name)
        for run in runs:
            self.assert_verdict(self.lab.ended(run), "passed")

    def test_a_job_that_finds_all_runners_busy_waits_and_says_why(self):
        self.repository.run(GATE)
        runs = [self.lab.submit(self.repository) for _ in range(3)]
        for run in runs[:2]:
            self.lab.running(run)
        wait_until(lambda: jobs_of(self.lab.show(runs[2])), "the third is planned")
        waiting = job_of(self.lab.show(runs[2]))
        self.assertEqual(waiting["state"], "queued")
        why = self.lab.cupel("why", runs[2]).stdout
        self.assertIn("one", why)
        self.lab.let_go()
        for run in runs[:2]:
            self.lab.ended(run)
        self.lab.running(runs[2])
        self.lab.let_go()
        self.assert_verdict(self.lab.ended(runs[2]), "passed")

    def test_cancel_ends_it_and_nothing_goes_on(self):
        self.repository.run("echo started; exec sleep infinity")
        run = self.lab.submit(self.repository)
        self.lab.running(run)
        self.assertEqual(self.lab.cupel("cancel", run).returncode, 0)
        self.assert_verdict(self.lab.ended(run), "cancelled")
        wait_until(lambda: not self.lab.leftovers_of_jobs(), "it is gone, and what its runner said was heard")
        self.assertEqual(self.lab.cupel("wait", run).returncode, 5)
        self.assertEqual(self.lab.cupel("show", run).stdout.count("cancelled by"), 1)

    def decide(self, run, good, attempts):
        """Lets the newest attempt of a DECIDED job end as the test says."""
        self.lab.running(run)
        wait_until(lambda: len(job_of(self.lab.show(run))["attempts"]) == attempts, f"attempt {attempts}")
        if good:
            self.lab.let_go(file="good")
        self.lab.let_go()

    def test_retry_by_hand_that_passes_is_shown_as_flaky(self):
        run = self.submit(job_file(test=DECIDED))
        self.decide(run, good=False, attempts=1)
        self.assert_verdict(self.lab.ended(run), "failed")
        self.assertEqual(self.lab.cupel("retry", run).returncode, 0)
        self.decide(run, good=True, attempts=2)
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assertTrue(ended["flaky"])
        self.assertEqual([a["verdict"] for a in job_of(ended)["attempts"]], ["failed", "passed"])

    def test_retry_asked_by_the_job_file_is_shown_as_flaky(self):
        run = self.submit(job_file(test={"run": DECIDED, "retry": "{failed: 1}"}))
        self.decide(run, good=False, attempts=1)
        self.decide(run, good=True, attempts=2)
        self.assertTrue(self.assert_verdict(self.lab.ended(run), "passed")["flaky"])

    def test_exit_codes_of_wait(self):
        for script, code in (("true", 0), ("exit 9", 1)):
            self.repository.run(script)
            self.assertEqual(self.lab.cupel("wait", self.lab.submit(self.repository)).returncode, code)


if __name__ == "__main__":
    unittest.main()
