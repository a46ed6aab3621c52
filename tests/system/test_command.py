"""The command cupel-sandbox as it is typed: what it answers to nonsense, and whose word its report is."""
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BIN

SECONDS = 30
ROOT = os.geteuid() == 0
OTHER = 54321  # nobody's uid


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="cupel-command-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.top)
        self.tree = self.top / "tree"
        self.tree.mkdir()

    def type(self, *words, cwd=None, **more):
        return subprocess.run([BIN / "cupel-sandbox", *map(str, words)], cwd=cwd or self.tree, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)

    def assert_refused(self, *words, status=125, says, **more):
        """In one sentence; and nothing is left."""
        before = sorted(self.top.rglob("*"))
        done = self.type(*words, **more)
        self.assertEqual(done.returncode, status, f"{words}: {done.stderr}")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertRegex(done.stderr, says)
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(self.top.rglob("*")), before)


class BadInput(CommandTest):
    def test_sizes_and_times(self):
        for option, value, says in (("--memory", "12X", "'12X' is not a size"), ("--memory", "-1", "not a size"),
                                    ("--memory", "99999999999999999999", "too large"), ("--memory", "0", "leave the option out"),
                                    ("--memory", "1K", "is 1K: between 1M"), ("--wall", "10x", "not a time"),
                                    ("--wall", "1e9s", "not a time"), ("--wall", "99999999999h", "and 366d make sense"),
                                    ("--tasks", "0", "leave the option out"), ("--tasks", "99999999999999999999", "too large"),
                                    ("--tasks", "many", "not a number"), ("--tasks", "1", "between 2"),
                                    ("--cpus", "0", "leave the option out"), ("--cpus", "nan", "not a number"),
                                    ("--output", "", "not a size"), ("--cpuset", "3-1", "not a list")):
            with self.subTest(option=option, value=value):
                self.assert_refused(option, value, "--", "true", says=says)

    def test_worktrees(self):
        (self.top / "link").symlink_to(self.tree)
        (self.top / "loop").symlink_to("loop")
        (self.top / "file").write_text("")
        for name, says in (("none", "No such file"), ("link", "symbolic link"), ("file", "is a file"), ("loop", "symbolic link"),
                           ("x" * 5000, "name too long|ENAMETOOLONG")):
            with self.subTest(name=name[:20]):
                self.assert_refused("--workdir", self.top / name, "--", "true", says=says)
        self.assert_refused("--", "true", cwd="/", says="the host's own /")
        self.assert_refused("--", "true", cwd="/tmp", says="the host's own /tmp")
        self.assert_refused("--", "true", env={"HOME": str(self.tree)}, says="home directory")
        self.assert_refused("--", "true", cwd=pwd.getpwuid(os.getuid()).pw_dir, env={}, says="home directory")

    def test_what_this_host_offers(self):
        done = self.type("--check")
        self.assertEqual(done.returncode, 0, done.stderr)
        for what in ("with all namespaces", "host ids", "system call filter", "Landlock", "limit of memory", "limit of tasks",
                     "limit of processors", "limit of processor time", "limit of io read", "limit of io written", "io weight",
                     "limit of disk from .* for a worktree here", "limit of disk and inodes, for private", "cpuset", "freezing"):
            self.assertRegex(done.stdout, rf"(?m)^(ok       |missing  ).*{what}")
        for missing in re.finditer(r"(?m)^missing .*\n(.*)", done.stdout):
            self.assertRegex(missing.group(1), "^         .+", missing.group(0))

    def test_a_relative_worktree_is_one(self):
        (self.tree / "sub").mkdir()
        done = self.type("--workdir", "sub", "--", "touch", "made")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.tree / "sub" / "made").exists())

    def test_commands(self):
        (self.tree / "plain").write_text("true\n")
        self.assert_refused("--", "no-such-command", status=127, says="no-such-command")
        self.assert_refused("--", "./none", status=127, says="none")
        self.assert_refused("--", "./plain", status=126, says="plain")
        self.assert_refused("--", "/", status=126, says="'/'")
        self.assert_refused("--", says="command")

    def test_a_command_without_what_runs_it(self):
        for name in ("script", "program"):
            (self.tree / name).write_bytes(b"#!/nonexistent/interpreter\n" if name == "script" else
                                           Path("/bin/true").read_bytes().replace(b"/lib64/ld-linux", b"/lib64/no-linux"))
            (self.tree / name).chmod(0o755)
            self.assert_refused("--", f"./{name}", status=126, says="it is there, but .* interpreter")
            self.assert_refused("--env", "PATH=/build", "--", name, status=126, says="it is there, but .* interpreter")
            self.assertEqual(self.type("--env", "PATH=/build:/usr/bin", "--", "true").returncode, 0)

    def test_binds_and_roots(self):
        self.assert_refused("--bind", "relative:/x", "--", "true", says="absolute")
        self.assert_refused("--bind", f"{self.tree}:relative", "--", "true", says="absolute")
        self.assert_refused("--bind", "/nonexistent:/x", "--", "true", says="/nonexistent")
        self.assert_refused("--bind", "/proc:/x", "--", "true", says="the host's processes")
        self.assert_refused("--bind", "/etc:/x:rw", "--", "true", says="the host's own /etc")
        self.assert_refused("--root", "/nonexistent", "--", "true", says="/nonexistent")
        self.assert_refused("--root", self.tree, "--", "true", status=127, says="true")

    def test_binds_to_places_that_cannot_be_made(self):
        shown = self.top / "shown"
        (shown / "below").mkdir(parents=True)
        for place, says in (("/usr/x", "make that place first"), ("/build/sub", "make that place first"), ("/lib/x", "is a link inside"),
                            ("/etc/passwd", "in a directory's place only")):
            with self.subTest(place=place):
                self.assert_refused("--bind", f"{shown}:{place}", "--", "true", says=says)
        self.assert_refused("--bind", f"{shown}:/x", "--bind", f"{shown}:/x/y", "--", "true", says="make that place first")

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a /proc")
    def test_a_proc_below_what_is_shown(self):
        shown = Path(tempfile.mkdtemp(prefix="cupel-command-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, shown)
        (shown / "chroot" / "proc").mkdir(parents=True)
        (shown / "proc").mkdir()
        for place in ("chroot/proc", "proc"):
            subprocess.run(["mount", "-t", "proc", "none", shown / place], check=True)
            self.addCleanup(subprocess.run, ["umount", shown / place], check=True)
        self.assert_refused("--bind", f"{shown}:/opt/x", "--", "true", says="a /proc is mounted, which would show the host's")
        self.assert_refused("--root", shown, "--", "true", says="a /proc is mounted, which would show the host's")
        self.assert_refused("--root", shown / "chroot", "--", "true", status=127, says="true")  # gets a /proc of its own

    def test_more_arguments_than_the_kernel_takes(self):
        done = self.type("--", "echo", *["x" * 1000] * 1500)
        self.assertEqual(done.returncode, 0)
        with self.assertRaises(OSError):  # the kernel refuses it before we are asked
            self.type("--", "echo", "x" * 200000)

    def test_closed_descriptors(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            done = subprocess.run(["sh", "-c", f'"$0" --report report -- sh -c "echo said > made" {closed}', BIN / "cupel-sandbox"],
                                  cwd=self.tree, timeout=SECONDS, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, closed + done.stderr)
            self.assertEqual((self.tree / "made").read_text(), "said\n")
            self.assertEqual(json.loads((self.tree / "report").read_text())["verdict"], "passed")

    def test_output_that_is_cut(self):
        talk = ("--output", "6", "--report", self.top / "report")
        done = self.type(*talk, "--", "sh", "-c", "yes; exit 5")
        self.assertEqual((done.returncode, done.stdout), (137, "y\ny\ny\n"))
        self.assertFalse(json.loads((self.top / "report").read_text())["output_cut"])
        done = self.type(*talk, "--cut-output", "--", "sh", "-c", "yes | head -50000; touch made; exit 5")
        self.assertEqual((done.returncode, done.stdout), (5, "y\ny\ny\n"), done.stderr)
        self.assertTrue(json.loads((self.top / "report").read_text())["output_cut"])
        self.assertIn("cut at its limit", done.stderr)
        self.assertTrue((self.tree / "made").exists())

    def test_an_output_that_takes_nothing_is_told(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BIN / "cupel-sandbox", "--", "sh", "-c", "echo hi; sleep 60"], cwd=self.tree, timeout=SECONDS,
                                  stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 137)
            self.assertIn("No space left", done.stderr)
            for word in ("--check", "--help", "--version"):
                self.assertEqual(subprocess.run([BIN / "cupel-sandbox", word], timeout=SECONDS, stdout=full,
                                                stderr=subprocess.DEVNULL).returncode, 125)


class Callers(CommandTest):
    """A caller's privileges of being scheduled aren't his jobs', started by him or by a launcher."""

    def told(self, prepare, *command):
        done = {self.type(*launcher, "--cpus", "1", "--", *command, preexec_fn=prepare).stdout for launcher in ((), ("--launcher",))}
        self.assertEqual(len(done), 1, done)
        return done.pop()

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_priorities(self):
        self.assertIn("SCHED_OTHER", self.told(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)), "sh", "-c", "chrt -p $$"))
        self.assertEqual(self.told(lambda: os.nice(-10), "nice"), "0\n")
        self.assertEqual(self.told(lambda: os.nice(5), "nice"), f"{os.nice(0) + 5}\n")
        subprocess.run(["ionice", "-c1", "-p", str(os.getpid())], check=True)
        self.addCleanup(subprocess.run, ["ionice", "-c0", "-p", str(os.getpid())], check=True)
        self.assertNotIn("realtime", self.told(None, "ionice"))


class Roots(CommandTest):
    """A root directory of the owner's choice: a shell and its libraries, as debootstrap would have put them."""

    def make_root(self):
        root = self.top / "root"
        for name in ("bin", "etc", "dev", "proc", "sys", "tmp", "build", "home/job", "var/tmp", "run"):
            (root / name).mkdir(parents=True)
        (root / "etc/hosts").write_text("its own\n")
        (root / "etc/passwd").write_text("its own\n")
        (root / "etc/other").write_text("its own\n")
        (root / "file").write_text("at the top\n")
        libraries = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
        for word in libraries.split():
            if word.startswith("/"):
                (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, root / word[1:])
        shutil.copy(Path("/bin/sh").resolve(), root / "bin/sh")
        return root

    def test_it_is_the_root_and_cannot_be_written(self):
        root = self.make_root()
        before = sorted(root.rglob("*"))
        script = ("read line < /etc/hosts; echo $line; read line < /etc/passwd; echo $line; read line < /etc/other; echo $line; "
                  "echo x > /made || echo refused; echo x > /bin/sh || echo refused; echo /bin/* /usr/*; read line < /file; echo $line; echo x > /tmp/made && echo x > made")
        done = self.type("--root", root, "--", "sh", "-c", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[:5],
                         ["127.0.0.1 localhost cupel", "root:x:0:0:root:/root:/usr/sbin/nologin", "its own", "refused", "refused"])
        self.assertEqual(done.stdout.splitlines()[5], "/bin/sh /usr/*")
        self.assertEqual(done.stdout.splitlines()[6], "at the top")
        self.assertEqual((self.tree / "made").read_text(), "x\n")
        self.assertEqual(sorted(root.rglob("*")), before)
        self.assertEqual((root / "etc/hosts").read_text(), "its own\n")

    def test_a_root_may_lack_what_would_be_laid_over(self):
        root = self.make_root()
        (root / "etc/hosts").unlink()
        (root / "etc/passwd").unlink()
        done = self.type("--root", root, "--", "sh", "-c", "echo /etc/*")
        self.assertEqual((done.returncode, done.stdout), (0, "/etc/other\n"), done.stderr)


class Proof(CommandTest):
    """--prove says contained of what was tried and didn't come through, and of nothing else."""

    def prove(self, prepare="true"):
        """After `prepare` in a mount namespace of its own; the findings by attack."""
        script = f'{prepare} && TMPDIR={self.tree} exec "$0" --prove'
        done = subprocess.run([*(["unshare", "-m"] if prepare != "true" else []), "sh", "-c", script, BIN / "cupel-sandbox"],
                              timeout=SECONDS * 2, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        self.assertEqual(list(self.tree.iterdir()), [])
        return done.returncode, {line[19:68].strip(): (line[:19].strip(), line[68:]) for line in done.stdout.splitlines()}

    def test_all_is_contained_or_refused(self):
        status, findings = self.prove()
        self.assertEqual(status, 0, findings)
        self.assertLessEqual({finding for finding, _ in findings.values()}, {"contained", "refused to start"})
        self.assertEqual(findings["kills its supervisor"][0], "contained")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_without_its_tool_an_attack_shows_nothing(self):
        status, findings = self.prove("mount --bind /dev/null /usr/bin/mknod")
        self.assertEqual(findings.pop("makes a device"), ("could not be tried", "there is no mknod here"))
        self.assertEqual(status, 125)
        self.assertNotIn("could not be tried", {finding for finding, _ in findings.values()})

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_a_failed_preparation_is_no_escape(self):
        self.addCleanup(Path("/run/cupel-prove-test").unlink, missing_ok=True)
        places = f"{self.tree} /var/tmp /tmp /dev/shm"
        status, findings = self.prove(f'cp "$0" /run/cupel-prove-test && for d in {places}; do mount -t tmpfs -o ro none $d; done && '
                                      'exec /run/cupel-prove-test --prove')
        self.assertEqual(status, 125)
        self.assertEqual(list(findings.values()), [("could not be tried", "targets in /tmp: Read-only file system")])

    def test_an_interrupted_one_leaves_nothing(self):
        child = subprocess.Popen([BIN / "cupel-sandbox", "--prove"], env={**os.environ, "TMPDIR": str(self.tree)}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE)
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=SECONDS)
        self.assertEqual(child.returncode, -signal.SIGINT)
        self.assertEqual(list(self.tree.iterdir()), [])


class Reports(CommandTest):
    def report(self, name="report"):
        return json.loads((self.tree / name).read_text())

    def test_the_job_has_no_say_in_it(self):
        for forgery in ("rm -f report; echo '{\"verdict\": \"passed\"}' > report; exit 1",
                        "for i in 1 2 3 4; do echo xxxxxxxxx >> report; done; exit 1",
                        f"ln -s {self.top}/victim report; exit 1"):
            with self.subTest(forgery=forgery):
                (self.top / "victim").write_text("precious")
                self.type("--report", "report", "--", "sh", "-c", forgery)
                self.assertEqual(self.report()["verdict"], "failed")
                self.assertEqual((self.top / "victim").read_text(), "precious")

    def test_a_planted_link_is_not_followed(self):
        (self.top / "victim").write_text("precious")
        (self.tree / "report").symlink_to(self.top / "victim")
        self.assert_refused("--report", "report", "--", "true", says="symbolic link")
        self.assertEqual((self.top / "victim").read_text(), "precious")
        (self.tree / "folder").symlink_to(self.top)
        self.assert_refused("--report", "folder/victim", "--", "true", says="symbolic link")
        self.assertEqual((self.top / "victim").read_text(), "precious")

    def test_a_directory_that_the_job_could_replace_is_refused(self):
        (self.tree / "sub").mkdir()
        self.assert_refused("--report", "sub/report", "--", "true", says="the job can replace")
        (self.top / "other" / "sub").mkdir(parents=True)
        self.assert_refused("--bind", f"{self.top}/other:/other:rw", "--report", "../other/sub/report", "--", "true",
                            says="the job can replace")

    def test_a_directory_of_its_name_gives_way(self):
        (self.tree / "report").write_text('{"verdict": "passed"}')
        self.assertEqual(self.type("--report", "report", "--", "sh", "-c", "mkdir report; exit 3").returncode, 3)
        self.assertEqual(self.report()["exit_code"], 3)
        self.assertEqual([path.name for path in self.tree.iterdir()], ["report"])
        left = "mkdir -p report/full/a; touch report/full/a/b; chmod 000 report/full; chmod 000 ."
        for user in ({}, {"user": OTHER, "group": OTHER, "extra_groups": []}) if ROOT else ({},):
            with self.subTest(user=user):
                self.top.chmod(0o755)
                os.chown(self.tree, *2 * (user.get("user", os.geteuid()),))
                self.assertEqual(self.type("--report", "report", "--", "sh", "-c", left, **user).returncode, 0)
                self.tree.chmod(0o755)
                self.assertEqual(self.report()["exit_code"], 0)
                self.assertEqual([path.name for path in self.tree.iterdir()], ["report"])
                (self.tree / "report").unlink()

    def test_a_pipe_that_an_earlier_job_left_is_refused(self):
        self.assertEqual(self.type("--", "mkfifo", "report").returncode, 0)
        self.assert_refused("--report", "report", "--", "true", says="is a pipe, which a job could have put there")
        self.assertTrue((self.tree / "report").is_fifo())

    def test_a_pipe_of_the_caller_s_is_written(self):
        os.mkfifo(self.top / "pipe")
        reader = subprocess.Popen(["cat", self.top / "pipe"], stdout=subprocess.PIPE)
        self.assertEqual(self.type("--report", self.top / "pipe", "--", "true").returncode, 0)
        self.assertEqual(json.loads(reader.communicate(timeout=SECONDS)[0])["verdict"], "passed")

    def test_a_descriptor_and_a_device_are_written_as_they_are(self):
        done = self.type("--report", "/dev/fd/2", "--", "true")
        self.assertEqual(json.loads(done.stderr)["verdict"], "passed")
        with open(self.top / "log", "w+") as log:
            subprocess.run([BIN / "cupel-sandbox", "--report", "/dev/fd/2", "--", "sh", "-c", "echo first >&2"],
                           cwd=self.tree, timeout=SECONDS, stdin=subprocess.DEVNULL, stderr=log, check=True)
        said, report = (self.top / "log").read_text().split("\n", 1)
        self.assertEqual((said, json.loads(report)["verdict"]), ("first", "passed"))
        self.assertEqual(self.type("--report", "/dev/null", "--", "true").returncode, 0)
        self.assertTrue(Path("/dev/null").is_char_device())
        self.assert_refused("--report", "/dev/stdout", "--", "true", says="symbolic link")
        self.assertTrue(Path("/dev/stdout").is_symlink())

    def test_a_name_writes_nothing_of_its_own_into_terminal_and_report(self):
        name = './\x1b[2J\n"forged": "yes",\x07\udcff'
        done = subprocess.run([BIN / "cupel-sandbox", "--report", "report", "--", name], cwd=self.tree, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(done.returncode, 127)
        self.assertRegex(done.stderr, rb"\A[\x20-\x7e]+\n\Z")
        self.assertNotIn("forged", self.report())
        self.assertIn("not found", self.report()["reason"])

    def test_it_tells_why_nothing_was_started(self):
        self.type("--report", "report", "--memory", "64M", "--", "./none")
        self.assertEqual(self.report()["verdict"], "errored")
        self.assertIn("none", self.report()["reason"])


if __name__ == "__main__":
    unittest.main()
