"""Everything on one box with `cupel up`, as root and as an ordinary user."""
import json
import os
import signal
import subprocess
import unittest

from harness import SystemTest, kill, needs_root, user_command, wait_until
from repository import ENVIRONMENT, git, job_file

USER = 54_322  # no account, no subordinate ids, nothing delegated


class Up(SystemTest):
    def up(self, *repositories, user=None, variables=None):
        self.state = self.lab.folder / "up"
        self.lab.address = f"unix:{self.state}/dispatcher/dispatcher.sock"
        paths = [f"{r.name}={r.path}" for r in repositories]
        daemon = self.lab.start("up", "cupel", ["up", "--state", str(self.state), "--slots", "2", *paths],
                                user=user, ready=False, variables=variables)
        wait_until(lambda: self.lab.cupel("runners", user=user).returncode == 0 and self.watching(daemon),
                   lambda: f"it is up\n{daemon.log()}")
        return daemon

    def watching(self, daemon):
        """It says so itself, so that what is pushed now is not taken for the baseline."""
        return "watch" in daemon.log().lower()

    def test_up_tests_what_is_pushed_and_stops_cleanly(self):
        repository = self.lab.repository()
        daemon = self.up(repository)
        run = self.assert_verdict(self.lab.verdict_of(repository.run("echo hello")), "passed")
        self.assertIn("passed", daemon.log())
        self.assertEqual(self.lab.log(run["id"]), b"hello\n")
        kill([daemon.pid], signal.SIGINT)
        self.assertEqual(daemon.wait(), 0, daemon.log())
        self.assertFalse((self.state / "dispatcher/dispatcher.sock").exists())

    def test_up_again_on_the_same_state_knows_what_was(self):
        repository = self.lab.repository()
        daemon = self.up(repository)
        first = self.lab.verdict_of(repository.run("true"))
        daemon.stop()
        missed = repository.run("true")
        self.lab.daemons.remove(daemon)
        self.up(repository)
        self.assert_verdict(self.lab.verdict_of(missed), "passed")
        self.assertEqual(self.lab.show(first["id"])["verdict"], "passed")

    def test_a_part_that_dies_is_told_and_started_again(self):
        repository = self.lab.repository()
        daemon = self.up(repository)
        for part in ("runner", "dispatcher", "observer"):
            kill([next(pid for pid in self.children(daemon.pid) if f"cupel-{part}" in self.name(pid))])
            wait_until(lambda: f"{part}: is back" in daemon.log(), daemon.log)
            self.assertIn(f"{part}: killed by signal 9", daemon.log())
            self.assert_verdict(self.lab.verdict_of(repository.run("true")), "passed")

    def children(self, pid):
        return [int(word) for word in open(f"/proc/{pid}/task/{pid}/children").read().split()]

    def name(self, pid):
        return open(f"/proc/{pid}/cmdline").read()

    def test_hangup_of_the_caller_leaves_nothing(self):
        daemon = self.up(self.lab.repository())
        daemon.kill_main()
        wait_until(lambda: not self.lab.leftovers(), self.lab.leftovers)

    @needs_root
    def test_as_an_ordinary_user(self):
        """No account, no sub ids, no delegated cgroup: jobs run behind walls, and what can't be held is said."""
        repository = self.lab.repository()
        repository.run("true")
        commit = repository.commit(job_file(test="id -u; test ! -r /etc/shadow; ls /build"))
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.lab.folder], check=True)
        daemon = self.up(repository, user=USER)
        subprocess.run([*user_command(USER), "git", "-C", repository.staging, "push", "-q", repository.path,
                        "main"], env={**ENVIRONMENT, "HOME": str(self.lab.folder)}, check=True)
        found = wait_until(lambda: [r for r in self.runs(USER) if r["commit"] == commit], daemon.log)
        run = wait_until(lambda: self.ended_for(USER, found[0]["id"]), daemon.log, 40)
        self.assert_verdict(run, "passed")
        self.assertEqual(daemon.stop(), 0, daemon.log())

    def runs(self, user):
        done = self.lab.cupel("list", "--json", user=user)
        answer = json.loads(done.stdout) if done.returncode == 0 else []
        return answer["runs"] if isinstance(answer, dict) else answer

    def ended_for(self, user, run):
        shown = json.loads(self.lab.cupel("show", run, "--json", user=user).stdout)
        return shown if shown["verdict"] not in (None, "", "none") else None

    def test_run_needs_no_server(self):
        repository = self.lab.repository()
        repository.commit(job_file(good="echo fine", bad="exit 1"))
        repository.push()
        git(repository.staging, "checkout", "-q", "-f", "main")
        done = self.lab.cupel("run", "--job", "good", repository.staging)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fine", done.stdout)
        self.assertEqual(self.lab.cupel("run", "--job", "bad", repository.staging).returncode, 1)

    def test_run_gives_the_hosts_network_only_when_told(self):
        folder = self.lab.folder / "project"
        folder.mkdir()
        (folder / ".cupel.yml").write_text("jobs:\n  net:\n    network: host\n    run: readlink /proc/self/ns/net\n")
        done = self.lab.cupel("run", folder)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("--allow-network-host", done.stderr)
        done = self.lab.cupel("run", "--allow-network-host", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(os.readlink("/proc/self/ns/net"), done.stdout)

    def test_run_names_what_was_denied_and_which_key_allows_it(self):
        folder = self.lab.folder / "project"
        folder.mkdir()
        (folder / ".cupel.yml").write_text("jobs:\n  test:\n    run: unshare -U true || unshare -U true || true\n")
        done = self.lab.cupel("run", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("denied: unshare, 2 times; profile: nested (--profile nested) allows it", done.stderr)
        told = json.loads(self.lab.cupel("run", "--json", folder).stdout)["jobs"][0]["denied"]
        self.assertEqual([(d["name"], d["count"]) for d in told], [("unshare", 2)])
        self.assertIn("profile: nested", told[0]["hint"])

    def test_run_used_wrongly_looks_like_no_verdict(self):
        folder = self.lab.folder / "project"
        folder.mkdir()
        (folder / "Makefile").write_text("check:\n\ttrue\n")
        self.assertEqual(self.lab.cupel("run", "--bogus", folder).returncode, 64)
        self.assertEqual(self.lab.cupel("lint", "--bogus", folder).returncode, 64)
        self.assertEqual(self.lab.cupel("run", "--job", "nope", folder).returncode, 66)

    def test_lint_says_what_would_run(self):
        folder = self.lab.folder / "project"
        folder.mkdir()
        (folder / "Makefile").write_text("check:\n\ttrue\n")
        done = self.lab.cupel("lint", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("make check", done.stdout)
        (folder / ".cupel.yml").write_text("jobs:\n  test:\n    run: true\n    run: false\n")
        self.assertNotEqual(self.lab.cupel("lint", folder).returncode, 0)


class Rest(SystemTest):
    def test_daemons_at_rest_use_no_processor(self):
        """The classic dispatcher burned 97% of a core when there was nothing to do."""
        repository = self.lab.repository()
        daemons = self.lab.all_parts(repository)
        self.lab.verdict_of(repository.run("true"))
        before = {d.name: self.ticks(d) for d in daemons}
        self.lab.cupel("wait", self.long_enough(repository))
        for daemon in daemons:
            used = self.ticks(daemon) - before[daemon.name]
            self.assertLess(used, 20, f"{daemon.name} used {used} ticks in 2 s of rest")

    def long_enough(self, repository):
        """A job of two seconds that does nothing: the time in which they rest."""
        repository.run("sleep 2")
        return self.lab.submit(repository)

    def ticks(self, daemon):
        fields = open(f"/proc/{daemon.pid}/stat").read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    unittest.main()
