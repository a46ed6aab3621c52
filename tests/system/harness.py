"""What the system tests stand on: real programs, real repositories, and waiting for events with deadlines.

A `Lab` is one test's world: a folder on tmpfs, the daemons that it started, and at the end a proof that
nothing of it is left: no process, no mount, no cgroup, no worktree.

CUPEL_BIN names the folder of the programs (build/debug/bin when it isn't set)."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import wire
from repository import ENVIRONMENT, Repository

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("CUPEL_BIN", ROOT / "build/debug/bin")).resolve()
TICK = 0.02  # seconds between two looks at a condition
PAGE = 200  # runs in one answer
MARK = "CUPEL_TEST_PROCESS"  # a variable in the environment of every daemon: how they are found again

# Short enough for tests, long enough for two busy processors.
DISPATCHER = {"heartbeat": "300ms", "lease": "8s", "lease-slack": "500ms"}


def scratch():
    shm = Path("/dev/shm")
    return str(shm) if os.access(shm, os.W_OK) else None


def wait_until(condition, what, seconds=20):
    """The first true answer of `condition`; fails with `what` when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(max(TICK, time.monotonic() - began))  # looking takes half of a processor at most


def options(values):
    out = []
    for name, value in values.items():
        name = "--" + name.replace("_", "-")
        if value is True:
            out.append(name)
        elif value not in (None, False):
            for one in value if isinstance(value, (list, tuple)) else [value]:
                out += [name, str(one)]
    return out


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def marked(mark):
    """Living processes of a daemon, the ones that it forked among them."""
    entry = f"{MARK}={mark}".encode()
    return [pid for pid in all_pids() if entry in environment_of(pid) and is_alive(pid)]


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def groups_of(state):
    """The control groups of a runner's jobs: named with a hash of its state directory (FNV-1a)."""
    number = 2166136261
    for byte in os.path.realpath(state).encode():
        number = (number ^ byte) * 16777619 & 0xFFFFFFFF
    return [Path(path) for path, _, _ in os.walk("/sys/fs/cgroup") if f"/cupel/{number:08x}-" in path]


class Daemon:
    """One started program. `status` is its exit status once it has ended."""

    def __init__(self, lab, name, program, arguments, user=None, ready=True, variables=None):
        self.lab = lab
        self.name = name
        self.mark = f"{lab.folder.name}/{name}"
        self.output = lab.folder / f"{name}.out"
        self.command = [str(BIN / program), *arguments]
        self.user = user
        self.variables = variables or {}
        self.abandoned = False  # killed with all its processes: what it left is its successor's to remove
        self.process = None
        self.start(ready)

    def start(self, ready=True):
        self.abandoned = False
        read_end, write_end = os.pipe()
        command = [*self.command, *(["--ready-fd", str(write_end)] if ready else [])]
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                [*user_command(self.user), *command], pass_fds=(write_end,), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True, cwd=self.lab.folder,
                env={**ENVIRONMENT, "HOME": str(self.lab.folder), MARK: self.mark, **self.variables})
        os.close(write_end)
        if ready:
            self._wait_ready(read_end)
        os.close(read_end)

    def _wait_ready(self, descriptor, seconds=20):
        os.set_blocking(descriptor, False)

        def said():
            try:
                data = os.read(descriptor, 64)
            except BlockingIOError:
                return None
            return data or b"nothing"

        word = wait_until(said, lambda: f"{self.name} is ready\n{self.log()}", seconds)
        if b"ready" not in word:
            raise AssertionError(f"{self.name} ended before it was ready\n{self.log()}")

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.output.read_text(errors="replace")

    def is_alive(self):
        return self.process.poll() is None

    def wait(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} didn't end within {seconds} s\n{self.log()}") from None

    def stop(self, seconds=20):
        """SIGTERM and the end: the exit status."""
        kill([self.pid], signal.SIGTERM)
        return self.wait(seconds)

    def kill_main(self):
        """-9 to the program alone; what it forked goes on."""
        kill([self.pid])
        self.process.wait()

    def kill_all(self):
        """-9 to it and all that it forked."""
        self.abandoned = True
        kill([self.pid])
        self.process.wait()
        wait_until(lambda: not self._kill_marked(), f"{self.name} is gone")

    def _kill_marked(self):
        pids = marked(self.mark)
        kill(pids)
        return pids

    def clean_up(self):
        if self.process and self.is_alive():
            kill([self.pid], signal.SIGCONT)
            kill([self.pid], signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        kill([self.pid] if self.is_alive() else [])
        self.process.wait()
        wait_until(lambda: not self._kill_marked(), f"{self.name} is gone")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_served(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def user_command(user):
    """Becomes a throw-away user: a uid that nobody else has, no account is made."""
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


class Lab:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cupel-test-", dir=scratch()))
        self.folder.chmod(0o755)
        self.daemons = []
        self.mounts = []
        self.state = self.folder / "dispatcher"
        self.address = f"unix:{self.state}/dispatcher.sock"

    # --- parts -------------------------------------------------------------------------------

    def start(self, name, program, arguments, **how):
        daemon = Daemon.__new__(Daemon)
        self.daemons.append(daemon)
        daemon.__init__(self, name, program, arguments, **how)
        return daemon

    def dispatcher(self, user=None, state=None, **values):
        values = {"state": state or self.state, **DISPATCHER, **values}
        return self.start("dispatcher", "cupel-dispatcher", options(values), user=user)

    def runner(self, name="one", user=None, ready=True, **values):
        if "token" not in values:
            values.setdefault("dispatcher", self.address)
        values = {"state": self.runner_state(name), "name": name, "slots": 2, **values}
        return self.start(f"runner-{name}", "cupel-runner", options(values), user=user, ready=ready)

    def observer(self, *repositories, name="watch", user=None, **values):
        if "token" not in values:
            values.setdefault("dispatcher", self.address)
        values = {"state": self.folder / f"observer-{name}", "name": name, "poll": "1s", **values}
        named = [f"{r.name}={r.path}" if isinstance(r, Repository) else str(r) for r in repositories]
        return self.start(f"observer-{name}", "cupel-observer", options(values) + named, user=user)

    def runner_state(self, name="one"):
        return self.folder / f"runner-{name}"

    def repository(self, name="sample"):
        return Repository(self.folder / "repositories", name)

    def all_parts(self, *repositories, **runner):
        """One dispatcher, one runner, one observer."""
        return self.dispatcher(), self.runner(**runner), self.observer(*repositories)

    # --- the command line -----------------------------------------------------------------------

    def cupel(self, *arguments, seconds=30, text=True, user=None, variables=None):
        return subprocess.run(
            [*user_command(user), str(BIN / "cupel"), *map(str, arguments)], stdin=subprocess.DEVNULL,
            capture_output=True, text=text, timeout=seconds, cwd=self.folder,
            env={**ENVIRONMENT, "HOME": str(self.folder), "CUPEL_DISPATCHER": self.address,
                 MARK: f"{self.folder.name}/cupel", **(variables or {})})

    def json(self, *arguments):
        done = self.cupel(*arguments, "--json")
        if done.returncode != 0:
            raise AssertionError(f"cupel {' '.join(map(str, arguments))}: {done.stderr}")
        return json.loads(done.stdout)

    def submit(self, repository, revision="main", *arguments):
        """Submits and gives the run's id."""
        answer = self.json("submit", repository.path, revision, *arguments)
        return answer["run"]

    def show(self, run):
        return self.json("show", run)

    def runs(self):
        """All of them, newest first, page by page over the wire."""
        found, before = [], 0
        with wire.Peer(self.address.removeprefix("unix:")) as peer:
            peer.hello("reader")
            while True:
                peer.send("LIST", {"limit": PAGE, "before": before})
                page = peer.expect("RUNS")["runs"]
                found += page
                if len(page) < PAGE:
                    return found
                before = page[-1]["id"]

    def log(self, run, *arguments):
        done = self.cupel("log", run, *arguments, text=False)
        if done.returncode != 0:
            raise AssertionError(f"cupel log: {done.stderr.decode(errors='replace')}")
        return done.stdout

    # --- waiting --------------------------------------------------------------------------------

    def run_of(self, commit, seconds=20):
        """The id of this commit's run, once the dispatcher has it."""
        def found():
            return next((run["id"] for run in self.runs() if run["commit"] == commit), None)
        return wait_until(found, f"commit {commit} has a run", seconds)

    def ended(self, run, seconds=40):
        """The run, once it has its verdict."""
        seen = {}

        def over():
            seen.update(self.show(run))
            return seen.get("verdict") not in (None, "", "none")
        wait_until(over, lambda: f"run {run} has a verdict\n{json.dumps(seen, indent=1)}", seconds)
        return seen

    def verdict_of(self, commit, seconds=40):
        return self.ended(self.run_of(commit, seconds), seconds)

    def running(self, run, job=None, runner=None, seconds=20):
        """The newest attempt of a job, once it runs (on `runner`, when one is named)."""
        def attempt():
            for each in jobs_of(self.show(run)):
                if job in (None, each["name"]) and each["attempts"]:
                    newest = each["attempts"][-1]
                    if newest["state"] == "running" and runner in (None, newest["runner"]):
                        return newest
            return None
        return wait_until(attempt, lambda: f"run {run} runs on {runner or 'a runner'}\n{self.show(run)}", seconds)

    def printed(self, run, text, seconds=20):
        """Waits until the job's log holds `text`: it has come that far."""
        def there():
            return text.encode() in self.cupel("log", run, text=False).stdout
        wait_until(there, f"run {run} prints {text!r}", seconds)

    def worktrees(self, name="one"):
        return [path.parent for path in (self.runner_state(name) / "work").glob("**/.cupel.yml")]

    def let_go(self, name="one", file="go"):
        """Makes a file in the worktrees of a runner: what a job of GATE waits for."""
        found = wait_until(lambda: self.worktrees(name), f"runner {name} has a worktree")
        for worktree in found:
            (worktree / file).touch()

    def connected(self, count=1):
        def those():
            listed = self.runners()
            return listed if sum(bool(r["connected"]) for r in listed) == count else None
        return wait_until(those, f"{count} runners are connected")

    def runners(self):
        answer = self.json("runners")
        return answer["runners"] if isinstance(answer, dict) else answer

    # --- the end --------------------------------------------------------------------------------

    def mount_tmpfs(self, name, size):
        folder = self.folder / name
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "cupel-test", folder], check=True)
        self.mounts.append(folder)
        return folder

    def processes_inside(self):
        """Processes whose view of the file system holds something of this lab: jobs in their sandbox."""
        found = []
        for pid in all_pids():
            try:
                if self.folder.name in Path(f"/proc/{pid}/mountinfo").read_text(errors="replace"):
                    found.append(pid)
            except OSError:
                pass
        return [] if os.getpid() in found else found

    def leftovers_of_jobs(self):
        """What jobs left behind, while the daemons live on."""
        words = [f"process {pid} in a sandbox" for pid in self.processes_inside()]
        for state in self.runner_states(abandoned=False):
            words += [f"{path}" for folder in ("work", "spool") for path in state.glob(f"{folder}/*")]
            words += [f"{path}" for path in groups_of(state)]
        return words

    def runner_states(self, abandoned):
        """State directories: a runner's own, and the one below that of `cupel up`."""
        states = [d.output.with_suffix("") for d in self.daemons if d.abandoned == abandoned]
        return [one for state in states for one in (state, state / "runner") if (one / "spool").is_dir()]

    def leftovers(self):
        """What is still there that should be gone, in words."""
        words = [f"process {pid} of {d.name}" for d in self.daemons for pid in marked(d.mark)]
        words += self.leftovers_of_jobs()
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        return words + [f"mount {line}" for line in mounts if self.folder.name in line]

    def close(self):
        try:
            for daemon in reversed(self.daemons):
                if daemon.process:
                    daemon.clean_up()
            for folder in reversed(self.mounts):
                subprocess.run(["umount", folder], check=True)
        finally:
            self.told = "".join(f"--- {d.name}\n{tail(d.output)}" for d in self.daemons if d.process)

    def remove(self):
        """Also the empty groups of runners that were killed for good."""
        for state in self.runner_states(abandoned=True):
            for group in groups_of(state):
                group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


def tail(path, lines=30):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) + "\n"


def jobs_of(run):
    """Its real jobs, without the plan."""
    return [job for job in run["jobs"] if job["kind"] != "plan"]


def job_of(run, name="test"):
    return next(job for job in run["jobs"] if job["name"] == name)


# A job that says where it is and goes on when the test lets it (Lab.let_go).
GATE = "echo started; until [ -e go ]; do sleep 0.05; done; echo went on"
FOREVER = "echo started; exec sleep infinity"


def settle(leftovers, seconds=10):
    """What is left, once that is nothing or time is up."""
    end = time.monotonic() + seconds
    while (left := leftovers()) and time.monotonic() < end:
        time.sleep(TICK)
    return left


class SystemTest(unittest.TestCase):
    """A test with a lab, and at its end the proof that nothing is left."""

    @classmethod
    def setUpClass(cls):
        if not (BIN / "cupel").exists():
            raise AssertionError(f"no programs in {BIN}: run make, or set CUPEL_BIN")

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self._end)

    def _end(self):
        failed = getattr(self._outcome.result, "failed_now", False)
        try:
            if not failed:
                settle(self.lab.leftovers_of_jobs)  # a result is told before its spool is cleared
            self.lab.close()
            left = settle(self.lab.leftovers)
            if left or failed:
                print(self.lab.told, flush=True)
            self.assertEqual(left, [], "left behind")
        finally:
            self.lab.remove()

    def assert_verdict(self, run, verdict):
        self.assertEqual(run["verdict"], verdict, json.dumps(run, indent=1))
        return run

    def assert_sentence(self, done, *words):
        """It refused: exit status not 0, one sentence that holds `words`."""
        self.assertNotEqual(done.returncode, 0, done)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, done.stderr)
        for word in words:
            self.assertIn(word.lower(), lines[0].lower())


def start_and_fail(lab, program, *arguments, seconds=20, user=None):
    """Runs a daemon that must refuse to start."""
    return subprocess.run([*user_command(user), str(BIN / program), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds, cwd=lab.folder,
                          env={**ENVIRONMENT, "HOME": str(lab.folder), MARK: f"{lab.folder.name}/{program}"})


def needs_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "needs root: mounts or throw-away users")(test)
