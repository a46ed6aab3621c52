"""How jobs end: time, memory, their own doing; and that the runner is as good as new behind each of them."""
import os
import unittest

import wire
from harness import FOREVER, GATE, SystemTest, job_of, jobs_of, needs_root, wait_until
from repository import EXECUTABLE, git, job_file, limited

KEEP_WRITING = "while :; do echo busy; sleep 0.05; done"
EAT_MEMORY = "perl -e 'my @a; push @a, \"x\" x 1048576 while 1'"


class Ends(SystemTest):
    def setUp(self):
        super().setUp()
        self.repository = self.lab.repository()
        self.lab.dispatcher()
        self.lab.runner()

    def ended(self, script, **limits):
        self.repository.run(script, **limits)
        return self.lab.ended(self.lab.submit(self.repository))

    def assert_healthy(self):
        """The next job passes, at the first attempt, and nothing of the earlier ones is left."""
        run = self.assert_verdict(self.ended("echo fine"), "passed")
        self.assertEqual(len(job_of(run)["attempts"]), 1)
        self.assertEqual(self.lab.log(run["id"]), b"fine\n")
        wait_until(lambda: not self.lab.leftovers_of_jobs(), self.lab.leftovers_of_jobs)

    def test_over_its_wall_limit(self):
        run = self.assert_verdict(self.ended(KEEP_WRITING, wall="1s"), "timed_out")
        self.assertIn("1", job_of(run)["reason"])
        self.assertEqual(job_of(run)["attempts"][-1]["limit"], "wall")
        self.assertEqual(self.lab.cupel("wait", run["id"]).returncode, 3)
        self.assert_healthy()

    def test_silent_for_its_idle_limit(self):
        run = self.assert_verdict(self.ended(FOREVER, idle="1s", wall="1m"), "timed_out")
        self.assertEqual(job_of(run)["attempts"][-1]["limit"], "idle")
        self.assertEqual(self.lab.log(run["id"]), b"started\n")
        self.assert_healthy()

    def test_a_timeout_goes_once_to_another_runner(self):
        self.lab.runner("two")
        self.lab.connected(2)
        run = self.assert_verdict(self.ended(KEEP_WRITING, wall="1s"), "timed_out")
        attempts = job_of(run)["attempts"]
        self.assertEqual([a["verdict"] for a in attempts], ["timed_out", "timed_out"])
        self.assertEqual({a["runner"] for a in attempts}, {"one", "two"})
        for attempt in attempts:
            self.assertTrue(attempt["reason"])

    def test_no_further_attempt_when_the_job_file_says_so(self):
        self.lab.runner("two")
        self.lab.connected(2)
        job = {**limited(KEEP_WRITING, wall="1s"), "retry": "{timed_out: 0}"}
        self.repository.commit(job_file(test=job))
        self.repository.push()
        run = self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "timed_out")
        self.assertEqual(len(job_of(run)["attempts"]), 1)

    def test_a_flood_of_children_does_not_outlive_the_time_limit(self):
        script = "(setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' &)\n" + KEEP_WRITING
        self.assert_verdict(self.ended(script, wall="1s"), "timed_out")
        self.assert_healthy()

    def test_what_a_job_leaves_running_neither_delays_nor_survives_its_verdict(self):
        run = self.assert_verdict(self.ended("setsid sleep infinity & echo done"), "passed")
        self.assertLess(job_of(run)["attempts"][0]["usage"]["wall_ms"], 5000)
        self.assert_healthy()

    def test_over_its_memory_limit(self):
        run = self.ended(EAT_MEMORY, memory="64M", wall="30s")
        self.assert_verdict(run, "killed")
        attempt = job_of(run)["attempts"][-1]
        self.assertEqual(attempt["limit"], "memory")
        self.assertIn("memory", attempt["reason"])
        self.assertIn("64", attempt["reason"])
        self.assertEqual(self.lab.cupel("wait", run["id"]).returncode, 4)
        self.assert_healthy()

    def test_a_disk_limit_that_cannot_be_held_is_declined_and_stops_nobody_else(self):
        self.repository.run("true", disk="1M")
        asking = self.lab.submit(self.repository)
        wait_until(lambda: "--work" in self.lab.cupel("why", asking).stdout, "the remedy is told")
        self.assert_verdict(self.ended("true"), "passed")
        self.lab.cupel("cancel", asking)

    @needs_root
    def test_over_its_disk_limit(self):
        small = self.lab.mount_tmpfs("small", "8m")
        self.lab.runner("small", work=small, labels="small")
        self.repository.commit({".cupel.yml": job_file(test={
            "run": "head -c 20000000 /dev/zero > big", "labels": "[small]", "limits": "{disk: 8M, wall: 30s}"})})
        self.repository.push("main")
        run = self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "killed")
        self.assertEqual(job_of(run)["attempts"][-1]["limit"], "disk")

    @needs_root
    def test_who_fills_the_disk_is_ended_and_nobody_else(self):
        small = self.lab.mount_tmpfs("small", "64m")
        self.lab.runner("small", work=small, labels="small", slots=2, disk_floor="16M")
        self.repository.commit({".cupel.yml": job_file(
            modest={"run": GATE, "labels": "[small]"},
            greedy={"run": "echo started; head -c 58M /dev/zero > big; sleep infinity", "labels": "[small]"})})
        self.repository.push("main")
        run = self.lab.submit(self.repository)
        self.lab.running(run, "modest")
        wait_until(lambda: job_of(self.lab.show(run), "greedy")["verdict"], "the greedy one is ended")
        greedy = job_of(self.lab.show(run), "greedy")
        self.assertEqual((greedy["verdict"], greedy["attempts"][-1]["limit"]), ("killed", "disk"))
        self.assertIn("disk", greedy["reason"])
        (next(small.glob("*/.cupel.yml")).parent / "go").touch()
        self.assertEqual(job_of(self.lab.ended(run), "modest")["verdict"], "passed")

    @needs_root
    def test_a_disk_that_a_job_filled_to_the_last_byte_is_its_verdict_told_once(self):
        """Spool and worktree on one full disk: there is room for the result still."""
        small = self.lab.mount_tmpfs("small", "64m")
        self.lab.runner("small", state=small / "state", labels="small", disk_floor="8M")
        self.repository.commit({".cupel.yml": job_file(test={
            "run": "head -c 100M /dev/zero > big", "labels": "[small]"})})
        self.repository.push("main")
        run = self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "killed")
        self.assertEqual([a["limit"] for a in job_of(run)["attempts"]], ["disk"])

    def test_a_result_that_the_spool_does_not_take_is_told_all_the_same(self):
        self.repository.run(GATE)
        run = self.lab.submit(self.repository)
        self.lab.running(run)
        for spool in (self.lab.runner_state() / "spool").iterdir():
            (spool / "result").mkdir()  # no file can take its place
        self.lab.let_go()
        wait_until(lambda: len(job_of(self.lab.show(run))["attempts"]) == 2, "it is tried again")
        self.lab.running(run)
        self.lab.let_go()
        attempts = job_of(self.assert_verdict(self.lab.ended(run), "passed"))["attempts"]
        self.assertEqual([a["verdict"] for a in attempts], ["errored", "passed"])

    def test_over_its_output_limit(self):
        run = self.assert_verdict(self.ended("yes 'a: line' | head -c 3000000", output="1M"), "killed")
        self.assertEqual(job_of(run)["attempts"][-1]["limit"], "output")
        self.assert_healthy()

    def test_a_fork_bomb_meets_its_task_limit(self):
        run = self.ended("bomb() { bomb | bomb & }; bomb; wait", tasks=32, wall="5s")
        self.assertIn(run["verdict"], ("failed", "killed", "passed", "timed_out"))
        self.assertLessEqual(job_of(run)["attempts"][-1]["usage"]["tasks_peak"], 32)
        self.assert_healthy()

    def test_tests_that_kill_their_own_process_group_and_all_they_reach(self):
        for script in ("kill -9 0", "kill -9 -1; echo still here; exit 1", "kill -9 $PPID; exit 1", "kill -9 1; exit 1"):
            self.assert_verdict(self.ended(script), "failed")
        self.assert_healthy()

    def test_a_signal_of_its_own_is_named(self):
        run = self.assert_verdict(self.ended("kill -SEGV $$"), "failed")
        self.assertEqual(job_of(run)["attempts"][0]["signal"], 11)
        self.assertIn("Segmentation fault", job_of(run)["reason"])

    def test_a_commit_that_cannot_be_checked_out(self):
        """The classic runner was BUSY for ever behind one of these."""
        broken = self.repository.commit({".cupel.yml": job_file(test="true"), "data": "precious\n"})
        git(self.repository.staging, "push", "-q", self.repository.path,
            f"{broken}:refs/hidden/broken")
        blob = self.repository.git("rev-parse", f"{broken}:data")
        loose = self.repository.path / "objects" / blob[:2] / blob[2:]
        loose.chmod(0o600)
        loose.write_bytes(b"not an object")
        self.repository.git("update-ref", "refs/heads/main", broken)
        run = self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "errored")
        self.assertIn(blob[:7], run["reason"] + job_of(run)["reason"])
        self.repository.git("update-ref", "-d", "refs/heads/main")
        self.assert_healthy()

    def test_a_repository_that_is_not_there(self):
        """Submitted over the wire: the command line looks first, where it can."""
        with wire.Peer(self.lab.state / "dispatcher.sock") as peer:
            peer.hello("submitter")
            peer.send("SUBMIT", {"repository": str(self.lab.folder / "nowhere"), "revision": "main"})
            run = peer.expect("SUBMITTED")["run"]
        ended = self.assert_verdict(self.lab.ended(run), "errored")
        self.assertIn("nowhere", ended["reason"])
        self.assert_healthy()

    def test_nothing_in_a_repository_is_obeyed_outside_the_sandbox(self):
        """Attributes, filters, hooks and a checked-in .git never run anything on the host."""
        trap = self.lab.folder / "trapped"
        evil = f"#!/bin/sh\ntouch {trap}\n"
        self.repository.commit({
            ".cupel.yml": job_file(test="cat payload"), "payload": "as it is\n",
            ".gitattributes": "* filter=evil text eol=crlf ident\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% {trap}\n',
            ".githooks/post-checkout": (EXECUTABLE, evil)})
        self.repository.push()
        self.repository.git("config", "filter.evil.smudge", f"touch {trap}")
        self.repository.git("config", "core.hooksPath", ".githooks")
        run = self.assert_verdict(self.lab.ended(self.lab.submit(self.repository)), "passed")
        self.assertEqual(self.lab.log(run["id"]), b"as it is\n")
        self.assertFalse(trap.exists())

    def test_a_job_cannot_reach_the_dispatcher_or_another_worktree(self):
        self.repository.commit({".cupel.yml": job_file(test=GATE), "only-in-the-other": ""})
        self.repository.push()
        other = self.lab.submit(self.repository)
        self.lab.running(other)
        script = (f"ls {self.lab.folder} 2>&1 && exit 1\nls / /tmp /home\n"
                  "find / -name dispatcher.sock -o -name only-in-the-other 2>/dev/null | grep . && exit 1\n"
                  "touch /build/mine; ls /build; test \"$(id -u)\" != 0")
        self.assert_verdict(self.ended(script), "passed")
        self.assertFalse(any((tree / "mine").exists() for tree in self.lab.worktrees()))
        self.lab.let_go()
        self.lab.ended(other)

    def test_the_tree_is_exactly_the_commit(self):
        self.repository.commit({".cupel.yml": job_file(test="sh ./look"), "look": (
            "test -x tool; test ! -x plain; test \"$(readlink link)\" = plain; test \"$(cat 'a b/ü:x')\" = deep\n"
            "test \"$(find . -type f -o -type l | grep -vc '^./.git')\" = 6\n"),
            "tool": (EXECUTABLE, "x"), "plain": "y", "link": ("120000", "plain"), "a b/ü:x": "deep\n"})
        self.repository.push()
        run = self.lab.ended(self.lab.submit(self.repository))
        self.assert_verdict(run, "passed")
        self.assertEqual(len(jobs_of(run)), 1)

    def test_the_owners_ceiling_wins(self):
        if os.geteuid() != 0:
            self.skipTest("memory limits of another runner need root here")
        self.lab.daemons[-1].stop()
        self.lab.runner("small", job_wall="1s")
        run = self.assert_verdict(self.ended(KEEP_WRITING, wall="1h"), "timed_out")
        self.assertEqual(job_of(run)["attempts"][0]["granted"]["wall_ms"], 1000)


if __name__ == "__main__":
    unittest.main()
