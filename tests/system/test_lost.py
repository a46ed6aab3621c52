"""What dies, and what becomes of its work: runners, their supervisors, the dispatcher, the observer."""
import random
import signal
import unittest

from harness import FOREVER, GATE, SystemTest, job_of, jobs_of, kill, marked, wait_until
from repository import job_file

SHORT = {"heartbeat": "200ms", "lease": "2s", "lease-slack": "300ms"}


def attempts_of(run, name="test"):
    return [(a["runner"], a["verdict"]) for a in job_of(run, name)["attempts"]]


class LostRunner(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()

    def begin(self, script=GATE, **dispatcher):
        """A job that runs on the first of two runners: its run, that runner, the other's name."""
        self.lab.dispatcher(**dispatcher)
        runners = {name: self.lab.runner(name, slots=1) for name in ("one", "two")}
        self.lab.connected(2)
        self.repository.run(script)
        run = self.lab.submit(self.repository)
        name = self.lab.running(run)["runner"]
        return run, runners[name], "two" if name == "one" else "one"

    def finish_on(self, run, other):
        self.lab.running(run, runner=other)
        self.lab.let_go(other)
        return self.assert_verdict(self.lab.ended(run), "passed")

    def test_a_runner_killed_with_all_its_processes_loses_its_job_to_another(self):
        run, runner, other = self.begin(**SHORT)
        runner.kill_all()
        ended = self.finish_on(run, other)
        self.assertEqual([verdict for _, verdict in attempts_of(ended)], ["lost", "passed"])
        self.assertEqual(attempts_of(ended)[1][0], other)
        self.assertTrue(job_of(ended)["attempts"][0]["reason"])

    def test_a_runner_whose_main_process_is_killed_fences_its_job(self):
        """Its supervisor has nobody to speak for it: at the end of the lease the job must not run on."""
        run, runner, other = self.begin(**SHORT)
        runner.kill_main()
        self.lab.running(run, runner=other)
        wait_until(lambda: not marked(runner.mark), "the supervisor has ended its job")
        ended = self.finish_on(run, other)
        runner.start()  # and clears its spool
        self.assertEqual([verdict for _, verdict in attempts_of(ended)], ["lost", "passed"])

    def test_a_stopped_runner_is_not_handed_back_what_it_gives_up(self):
        self.lab.dispatcher()
        runner = self.lab.runner()
        self.lab.connected()
        self.repository.run(GATE)
        run = self.lab.submit(self.repository)
        self.lab.running(run)
        self.assertEqual(runner.stop(), 0, runner.log())
        self.assertEqual(attempts_of(self.lab.show(run)), [("one", "errored")])
        self.assertEqual(job_of(self.lab.show(run))["state"], "queued")
        runner.start()
        self.lab.running(run)
        self.lab.let_go()
        self.assert_verdict(self.lab.ended(run), "passed")

    def test_a_restarted_runner_adopts_its_job(self):
        run, runner, _ = self.begin()
        name = self.lab.running(run)["runner"]
        runner.kill_main()
        runner.start()
        self.lab.connected(2)
        self.lab.let_go(name)
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assertEqual(attempts_of(ended), [(name, "passed")])
        self.assertIn(b"went on", self.lab.log(run))

    def test_a_job_that_ended_while_its_runner_was_away_is_told_by_the_next(self):
        run, runner, _ = self.begin()
        name = self.lab.running(run)["runner"]
        runner.kill_main()
        self.lab.let_go(name)
        wait_until(lambda: not self.lab.processes_inside(), "the job has ended")
        runner.start()
        self.assertEqual(attempts_of(self.assert_verdict(self.lab.ended(run), "passed")), [(name, "passed")])

    def test_a_new_incarnation_that_holds_nothing_is_death(self):
        """No waiting for the lease, which is an hour here."""
        run, runner, other = self.begin(lease="1h")
        runner.kill_all()
        runner.start()
        self.lab.running(run, seconds=5)
        wait_until(lambda: len(job_of(self.lab.show(run))["attempts"]) == 2, "there is a second attempt", 5)
        name = self.lab.running(run)["runner"]
        self.lab.let_go(name)
        self.assert_verdict(self.lab.ended(run), "passed")

    def test_all_jobs_of_a_dead_runner_are_redistributed(self):
        """The classic design put back only one of them."""
        self.lab.dispatcher(lease="1h")
        runner = self.lab.runner("one", slots=4)
        self.lab.connected(1)
        self.repository.run(GATE)
        runs = [self.lab.submit(self.repository) for _ in range(4)]
        for run in runs:
            self.lab.running(run)
        self.lab.runner("two", slots=4)
        self.lab.connected(2)
        runner.kill_all()
        runner.start()
        for run in runs:
            wait_until(lambda: len(job_of(self.lab.show(run))["attempts"]) == 2, f"run {run} is redistributed")
            self.lab.running(run)
        for name in ("one", "two"):
            if self.lab.worktrees(name):
                self.lab.let_go(name)
        for run in runs:
            self.assert_verdict(self.lab.ended(run), "passed")

    def test_a_job_that_two_runners_were_lost_in_waits_for_a_person(self):
        """One poison commit killed three of three runners of the classic design."""
        run, runner, other = self.begin(FOREVER, **SHORT)
        runner.kill_all()
        self.lab.running(run, runner=other)
        next(d for d in self.lab.daemons if d.name == f"runner-{other}").kill_all()
        self.lab.runner("three")
        ended = self.assert_verdict(self.lab.ended(run), "errored")
        self.assertEqual([verdict for _, verdict in attempts_of(ended)], ["lost", "lost"])
        self.assertIn("retry", job_of(ended)["reason"])

    def test_a_frozen_runner_comes_back_too_late_and_changes_nothing(self):
        """Stopped beyond its lease, like a suspended machine: its job is another's, its result is history."""
        run, runner, other = self.begin(**SHORT)
        pids = [*marked(runner.mark)]
        kill(pids, signal.SIGSTOP)
        self.finish_on(run, other)
        kill(pids, signal.SIGCONT)
        self.lab.connected(2)
        wait_until(lambda: not self.lab.processes_inside(), "its job is gone")
        ended = self.assert_verdict(self.lab.show(run), "passed")
        self.assertEqual([verdict for _, verdict in attempts_of(ended)], ["lost", "passed"])


class LostDispatcher(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()

    def test_a_killed_dispatcher_comes_back_and_the_job_goes_on(self):
        dispatcher, _, _ = self.lab.all_parts(self.repository)
        commit = self.repository.run(GATE)
        run = self.lab.run_of(commit)
        self.lab.running(run)
        dispatcher.kill_all()
        while_away = self.repository.run("echo pushed while it was away")
        dispatcher.start()
        self.lab.let_go()
        ended = self.assert_verdict(self.lab.ended(run), "passed")
        self.assertEqual(attempts_of(ended), [("one", "passed")])
        self.assertEqual(self.lab.log(run), b"started\nwent on\n")
        self.assert_verdict(self.lab.verdict_of(while_away), "passed")

    def test_a_result_of_the_time_without_a_dispatcher_arrives(self):
        dispatcher, _, _ = self.lab.all_parts(self.repository)
        run = self.lab.run_of(self.repository.run(GATE))
        self.lab.running(run)
        dispatcher.kill_all()
        self.lab.let_go()
        wait_until(lambda: not self.lab.processes_inside(), "the job has ended")
        dispatcher.start()
        self.assertEqual(attempts_of(self.assert_verdict(self.lab.ended(run), "passed")), [("one", "passed")])

    def test_a_clean_stop_and_start_lose_nothing(self):
        dispatcher, runner, observer = self.lab.all_parts(self.repository)
        run = self.lab.run_of(self.repository.run(GATE))
        self.lab.running(run)
        self.assertEqual(dispatcher.stop(), 0)
        dispatcher.start()
        self.lab.let_go()
        self.assert_verdict(self.lab.ended(run), "passed")
        for daemon in (observer, runner, dispatcher):
            self.assertEqual(daemon.stop(), 0, daemon.log())

    def test_an_observer_killed_and_restarted_skips_nothing(self):
        _, _, observer = self.lab.all_parts(self.repository)
        self.lab.run_of(self.repository.run("true"))
        observer.kill_all()
        missed = self.repository.commits([{".cupel.yml": job_file(test="true"), "n": str(i)} for i in range(3)])
        self.repository.push()
        observer.start()
        for commit in missed:
            self.assert_verdict(self.lab.verdict_of(commit), "passed")

    def each_has_one_verdict(self, commits, seconds):
        """Every commit has exactly one run, one job and one attempt that passed."""
        def all_ended():
            listed = {run["commit"]: run for run in self.lab.runs()}
            return all(c in listed and listed[c]["verdict"] not in (None, "", "none") for c in commits)
        wait_until(all_ended, lambda: f"all of {len(commits)} have a verdict: {self.progress()}", seconds)
        runs = [run for run in self.lab.runs() if run["commit"] in set(commits)]
        self.assertEqual(len(runs), len(commits), "one run for each commit")
        self.assertEqual({run["verdict"] for run in runs}, {"passed"})
        return runs

    def progress(self):
        count = {}
        for run in self.lab.runs():
            count[run["verdict"]] = count.get(run["verdict"], 0) + 1
        return count

    def many(self, count):
        return self.repository.commits([{".cupel.yml": job_file(test="true"), "n": str(i)} for i in range(count)])

    def test_a_thousand_commits_pushed_at_once_get_one_verdict_each(self):
        self.lab.all_parts(self.repository, slots=4)
        commits = self.many(1000)
        self.repository.push()
        self.each_has_one_verdict(commits, 180)

    def test_a_dispatcher_killed_at_random_moments_keeps_one_verdict_for_each(self):
        """Two hundred commits; it is killed each time a random share of them has a verdict."""
        dispatcher, _, _ = self.lab.all_parts(self.repository, slots=4)
        dice = random.Random(20)
        commits = self.many(200)
        self.repository.push()
        for share in sorted(dice.sample(range(0, 190), 6)):
            wait_until(lambda: self.progress().get("passed", 0) >= share, lambda: f"{share}: {self.progress()}", 60)
            dispatcher.kill_all()
            dispatcher.start()
        runs = self.each_has_one_verdict(commits, 120)
        for run in dice.sample(runs, 25):
            jobs = jobs_of(self.lab.show(run["id"]))
            passed = [a for job in jobs for a in job["attempts"] if a["verdict"] == "passed"]
            self.assertEqual((len(jobs), len(passed)), (1, 1), jobs)

    def test_whatever_is_killed_each_commit_has_one_verdict(self):
        """Dispatcher, observer and the runners' main processes die in turn, by dice, while commits come in."""
        parts = [self.lab.dispatcher(), self.lab.observer(self.repository), self.lab.runner("one"),
                 self.lab.runner("two")]
        dice = random.Random(2026)
        commits = []
        for _ in range(12):
            commits += self.many(8)
            self.repository.push()
            victim = dice.choice(parts)
            share = dice.randrange(len(commits))
            wait_until(lambda: self.progress().get("passed", 0) >= share, lambda: f"{share}: {self.progress()}", 60)
            victim.kill_main()
            victim.start()
        runs = self.each_has_one_verdict(commits, 120)
        for run in runs:
            attempts = [a for job in jobs_of(self.lab.show(run["id"])) for a in job["attempts"]]
            # What was on the wire when a runner died is given away; what it had accepted it goes on with.
            ran = [a["verdict"] for a in attempts if a["verdict"] not in ("lost", "declined")]
            self.assertEqual(ran, ["passed"], attempts)


if __name__ == "__main__":
    unittest.main()
