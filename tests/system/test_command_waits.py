"""The command cupel-sandbox between a job and who waits for it: readers that stall, signals, surroundings that lack something."""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from harness import BIN
from test_command import SECONDS, CommandTest

ROOT = os.geteuid() == 0


def wait_until(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(what)
        time.sleep(0.01)


def lives(marker):
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if marker.encode() in line and not line.startswith(str(BIN).encode()):
            return True
    return False


class Waiting(CommandTest):
    def start(self, *words, **more):
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        child = subprocess.Popen([BIN / "cupel-sandbox", *map(str, words)], cwd=self.tree, stdin=subprocess.DEVNULL, **more)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child


class Readers(Waiting):
    """What the job prints is passed on to somebody who may not read it: that is no reason to let the job live."""

    def flood(self, *words):
        marker = f"flood-{os.urandom(6).hex()}"
        child = self.start(*words, "--", "sh", "-c", "head -c 1000000 /dev/zero; while :; do :; done", marker)
        wait_until(lambda: lives(marker), "the job did not start")
        return child, marker

    def test_limits_hold_while_nobody_reads(self):
        for words, status in ((("--wall", "300ms"), 124), (("--cpu-time", "300ms", "--wall", "20s"), 124), (("--launcher", "--wall", "300ms"), 124)):
            child = self.start(*words, "--", "sh", "-c", "head -c 100000 /dev/zero; while :; do :; done", "limited-flood")
            wait_until(lambda: lives("limited-flood"), "the job did not start")
            wait_until(lambda: not lives("limited-flood"), f"the job lives on: {words}")
            out, err = child.communicate(timeout=SECONDS)
            self.assertEqual((child.returncode, len(out)), (status, 100000), err)

    def test_a_job_that_ended_is_told_when_all_is_read(self):
        child = self.start("--wall", "20s", "--", "head", "-c", "3000000", "/dev/zero")
        out, err = child.communicate(timeout=SECONDS)
        self.assertEqual((child.returncode, len(out), err), (0, 3000000, b""))

    def test_a_signal_is_obeyed_while_nobody_reads(self):
        child, marker = self.flood()
        child.terminate()
        self.assertEqual(child.wait(SECONDS), 137)
        self.assertFalse(lives(marker))

    def test_time_without_a_reader_is_not_idle(self):
        child, marker = self.flood("--idle", "300ms", "--wall", "1500ms")
        wait_until(lambda: not lives(marker), "the job lives on")
        self.assertIn(b"wall", child.communicate(timeout=SECONDS)[1])

    def test_a_reader_that_does_not_block(self):
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
        child = self.start("--wall", "20s", "--", "head", "-c", "300000", "/dev/zero", stdout=write)
        os.close(write)
        with os.fdopen(read, "rb") as end:
            self.assertEqual(len(end.read()), 300000)
        self.assertEqual(child.wait(SECONDS), 0)

    def test_no_output_to_write_to(self):
        for word, status in ((["--", "echo", "lost"], 137), (["--check"], 125), (["--", "true"], 0)):
            done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", BIN / "cupel-sandbox", *word], cwd=self.tree, timeout=SECONDS,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(done.stderr.count("\n"), int(status != 0), done.stderr)


    def test_no_output_is_lost_silently(self):
        """Also where the job is over before it is known that its last words could not be written."""
        for launcher in ((), ("--launcher",)):
            for _ in range(30):
                with open("/dev/full", "w") as full:
                    done = subprocess.run([BIN / "cupel-sandbox", *launcher, "--", "echo", "lost"], cwd=self.tree, timeout=SECONDS,
                                          stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 137, done.stderr)


class Signals(Waiting):
    def test_what_would_end_it_cancels_the_job(self):
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGXCPU, signal.SIGHUP, signal.SIGRTMIN):
            child = self.start("--", "sh", "-c", "echo started; sleep 60")
            child.stdout.readline()
            child.send_signal(number)
            self.assertEqual(child.wait(SECONDS), 137, number)
            self.assertIn(f"by signal {int(number)}", child.stderr.read().decode())
            left = [path for path in Path("/sys/fs/cgroup").glob(f"**/cupel/job-*-{child.pid}-*")]
            self.assertEqual(left, [])

    def test_who_was_stopped_himself_still_names_the_limit(self):
        for limit in ("--wall", "--cpu-time"):
            child = self.start(limit, "200ms", "--report", self.top / "report", "--", "sh", "-c",
                               "echo started; i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; : > ended")
            child.stdout.readline()
            child.send_signal(signal.SIGSTOP)
            wait_until((self.tree / "ended").exists, "the job did not end")
            child.send_signal(signal.SIGCONT)
            self.assertEqual(child.wait(SECONDS), 124, limit)
            self.assertEqual(json.loads((self.top / "report").read_text())["limit"], limit[2:].replace("-", "_"))
            (self.tree / "ended").unlink()

    @unittest.skipIf(not ROOT, "needs control groups to freeze it in")
    def test_a_stop_by_the_terminal_stops_the_job(self):
        child = self.start("--", "sh", "-c", "echo started; while :; do echo x >> ticks; done")
        child.stdout.readline()
        child.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        groups = [path for path in Path("/sys/fs/cgroup").glob(f"**/cupel/job-*-{child.pid}-*/*") if path.name in ("cgroup.freeze", "freezer.state")]
        self.assertTrue([path for path in groups if path.read_text() in ("1\n", "FROZEN\n")], groups)
        size = (self.tree / "ticks").stat().st_size
        child.send_signal(signal.SIGCONT)
        wait_until(lambda: (self.tree / "ticks").stat().st_size > size, "it stands still")
        child.terminate()
        self.assertEqual(child.wait(SECONDS), 137)


class Surroundings(CommandTest):
    """What the caller lacks is told, with what to do."""

    def refused(self, *prefix, says, script='exec "$0" --bare -- true'):
        done = subprocess.run([*map(str, prefix), "sh", "-c", script, BIN / "cupel-sandbox"], cwd=self.tree, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertRegex(done.stderr, says)

    @unittest.skipIf(not ROOT, "needs root")
    def test_proc_and_capabilities(self):
        for launcher in ("", "--launcher"):
            script = f'exec "$0" --bare {launcher} -- true'
            self.refused("unshare", "-m", says="/proc isn't mounted here; mount it", script="umount -lR /proc && " + script)
            self.refused("unshare", "-pf", says="/proc here is another process namespace's; mount", script=script)
            for name in ("sys_admin", "setuid", "setgid", "setpcap", "sys_chroot"):
                self.refused("setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}", says=f"needs: {name}; give them", script=script)

    def test_nobody(self):
        for launcher in ("", "--launcher"):
            self.refused("unshare", "-U", says="has no user id in its own user namespace; map it", script=f'exec "$0" --bare {launcher} -- true')

    @unittest.skipIf(not ROOT, "needs root, to be a user with ids in /etc/subuid")
    def test_helpers_that_may_not_help(self):
        """newuidmap is a setuid program: without it there is one id, as for a user without a line in /etc/subuid."""
        name = "cupel-helpers"
        subprocess.run(["useradd", "--no-create-home", "-K", "SUB_UID_COUNT=65536", name], check=True)
        self.addCleanup(subprocess.run, ["userdel", name], check=True)
        for extra, ids in (((), "65537"), (("--no-new-privs",), "1")):
            done = subprocess.run(["setpriv", "--reuid", name, "--regid", name, "--init-groups", *extra, BIN / "cupel-sandbox", "--bare", "--",
                                   "awk", "{ n += $3 } END { print n }", "/proc/self/uid_map"], cwd="/", timeout=SECONDS,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, ids + "\n", ""))

    @unittest.skipIf(not ROOT, "needs root")
    def test_chroot(self):
        root = self.top / "root"
        libraries = subprocess.run(["ldd", "/bin/sh", BIN / "cupel-sandbox"], capture_output=True, text=True, check=True).stdout
        files = {Path(word) for word in libraries.split() if word.startswith("/") and not word.endswith(":")}
        for path in files | {Path("/bin/sh"), BIN / "cupel-sandbox"}:
            (root / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path.relative_to("/"))
        (root / "proc").mkdir()
        script = f"mount -t proc proc {root}/proc && exec chroot {root} /bin/sh -c 'exec \"$0\" --bare -- true' \"$0\""
        self.refused("unshare", "-m", says="this is a chroot", script=script)

    def test_what_is_no_program(self):
        program = bytearray(Path("/bin/true").read_bytes())
        program[18:20] = b"\xb7\x00"  # of another kind of machine
        (self.tree / "foreign").write_bytes(program)
        (self.tree / "cut").write_bytes(Path("/bin/true").read_bytes()[:100])
        for name in ("foreign", "cut"):
            (self.tree / name).chmod(0o755)
            self.assert_refused("--", f"./{name}", status=126, says="nor a program for this machine")
        (self.tree / "script").write_text("exit 3\n")
        (self.tree / "script").chmod(0o755)
        self.assertEqual(self.type("--", "./script").returncode, 3)

    def test_limits_of_the_caller(self):
        for launcher in ("", "--launcher"):
            self.refused(says="File too large.*ulimit -f|ulimit -f.*File too large", script=f'ulimit -f 0; exec "$0" {launcher} -- true')
        self.assert_refused("--bind", f"{self.tree}:/{'x' * 300}", "--", "true", says="names of up to 255 bytes")
        self.assert_refused("--inodes", str(1 << 60), "--bare", "--", "true", says="make sense")
        self.assertEqual(self.type("--inodes", str(1 << 50), "--bare", "--", "true").returncode, 0)


@unittest.skipIf(not ROOT, "needs root, to mount file systems")
class Disks(CommandTest):
    def mounted(self, size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", self.tree], check=True)
        self.addCleanup(subprocess.run, ["umount", self.tree], check=True)

    def test_a_worktree_smaller_than_the_limit(self):
        self.mounted("512K")
        done = self.type("--workdir", self.tree, "--disk", "1M", "--", "dd", "if=/dev/zero", "of=f", "bs=64k", "count=20", cwd=self.top)
        self.assertEqual(done.returncode, 137, done.stderr)
        self.assertIn("up against the disk limit", done.stderr)

    def test_a_writable_bind(self):
        self.mounted("1M")
        done = self.type("--bare", "--disk", "1M", "--bind", f"{self.tree}:/m:rw", "--", "dd", "if=/dev/zero", "of=/m/f", "bs=64k",
                         "count=20", cwd=self.top)
        self.assertEqual(done.returncode, 137, done.stderr)
        self.assertIn("up against the disk limit", done.stderr)

    def test_room_that_is_left_is_no_cause(self):
        self.mounted("1M")
        done = self.type("--disk", "1M", "--", "sh", "-c", "head -c 500000 /dev/zero > f; exit 1")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
