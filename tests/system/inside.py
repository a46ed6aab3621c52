"""How a real program is run behind the walls: in each profile, as root and as an ordinary user.

Its sources are copied into a fresh worktree for each run, from programs/ or from Cupel itself. A program that
works is refused no system call; one that is refused something finds its name in the report."""
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from collections import namedtuple
from pathlib import Path

from harness import BIN, ROOT, scratch, user_command

SOURCES = Path(__file__).resolve().parent / "programs"
JOB_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
PROFILES = ("strict", "ci", "nested")
ONE = (None,)  # the caller alone: for what is slow, and the same whoever starts it
WALL = "60s"  # what hangs is told as timed out
SECONDS = 90
LIMITS = ("--memory", "2G", "--tasks", "1000")  # a user without delegated control groups can't have them
USER = 54321  # nobody's
CUPEL = ("Makefile", "base", "proto/cupel.proto", "tests/unit/base")  # a real project with a suite that is at hand

Done = namedtuple("Done", "status output report worktree")


def needs(*programs):
    """Programs that must stand where a job finds them."""
    missing = [name for name in programs if not shutil.which(name, path=JOB_PATH)]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def users():
    """Who runs the sandbox: nobody in particular (None is whoever runs the tests)."""
    return (None, USER) if os.geteuid() == 0 else ONE


def copy_into(worktree, name):
    """From programs/ as the root of the worktree, or from Cupel's own tree at its place."""
    source, target = SOURCES / name, worktree
    if name in CUPEL:
        source, target = ROOT / name, worktree / name
        target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def give_to(user, folder):
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user)


def denied_of(done):
    return {call["name"] for call in done.report["denied"]}


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cupel-test-", dir=scratch()))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder)

    def fresh(self, files, user):
        """A worktree that is an ordinary user's, and a folder beside it for the report."""
        for name in ("worktree", "report"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        for name in files:
            copy_into(self.folder / "worktree", name)
        if os.geteuid() == 0:
            give_to(USER, self.folder / "worktree")
        if user is not None:
            give_to(user, self.folder / "report")
        return self.folder / "worktree", self.folder / "report/outcome.json"

    def inside(self, script, *files, user=None, profile="ci", options=()):
        worktree, report = self.fresh(files, user)
        limits = LIMITS if user is None and os.geteuid() == 0 else ()
        command = [*user_command(user), str(BIN / "cupel-sandbox"), "--profile", profile, "--wall", WALL, *limits,
                   "--report", str(report), *options, "--", "sh", "-c", script]
        done = subprocess.run(command, cwd=worktree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS)
        if not report.exists():
            raise AssertionError(f"no report, status {done.returncode}: {done.stdout}")
        return Done(done.returncode, done.stdout, json.loads(report.read_text()), worktree)

    def each(self, check, script, *files, profiles=PROFILES, who=None, options=()):
        """`check`s it for every user in every profile; what is asserted of one doesn't hide the others."""
        for user, profile in itertools.product(who or users(), profiles):
            with self.subTest(user=user or "caller", profile=profile):
                check(self.inside(script, *files, user=user, profile=profile, options=options))

    def works(self, script, *files, says=(), **how):
        def check(done):
            self.assertEqual(done.report["verdict"], "passed", done.output[-2000:])
            self.assert_says(done, says)
            self.assertEqual(denied_of(done), set(), done.output[-2000:])
        self.each(check, script, *files, **how)

    def fails(self, script, *files, status, says=(), **how):
        """By itself, with this status, because of what it found: nothing is refused."""
        def check(done):
            self.assertEqual((done.report["verdict"], done.status), ("failed", status), done.output[-2000:])
            self.assert_says(done, says)
            self.assertEqual(denied_of(done), set(), done.output[-2000:])
        self.each(check, script, *files, **how)

    def refused(self, script, *files, call, option, says=(), **how):
        """It fails, and the report names the call and what would allow it."""
        def check(done):
            self.assertEqual(done.report["verdict"], "failed", done.output[-2000:])
            self.assert_says(done, says)
            hints = {each["name"]: each["hint"] for each in done.report["denied"]}
            self.assertIn(call, hints)
            self.assertIn(option, hints[call])
        self.each(check, script, *files, **how)

    def assert_says(self, done, words):
        for word in words:
            self.assertIn(word, done.output[-20000:])
