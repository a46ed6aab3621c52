"""The place in which one attack is judged: a worktree, a secret outside of it, and ways to run
something behind walls, behind weaker ones, or behind none."""
import contextlib
import glob
import json
import os
import re
import secrets
import select
import shutil
import subprocess
import tempfile
import time

USER = 54321  # nobody's uid
SECONDS = 25
WITHOUT = 'without'  # weakened: the sandbox without the options that the attack's run gives
END = 'ATTACKED'  # an attack's last word: without it, it was broken rather than contained


class Skip(Exception):
    """This host can't show it."""


class Escape(Exception):
    """What the attack reached."""


class Broken(Exception):
    """The attack itself failed, so that it shows nothing."""


class Delegated:
    """Control groups that belong to the user, as a service manager would give them to him."""

    def __init__(self):
        self.groups = []
        with open('/proc/self/cgroup') as f:
            own = {name: path for _, names, path in (line.rstrip().split(':', 2) for line in f)
                   for name in names.split(',')}
        with open('/proc/mounts') as f:
            for _, point, kind, options, *_ in map(str.split, f):
                if kind == 'cgroup2':
                    self.delegate(point + own.get('', '/'))
                elif kind == 'cgroup':
                    for name in {'memory', 'pids', 'cpu', 'cpuacct'} & set(options.split(',')):
                        self.delegate(point + own.get(name, '/'))

    def delegate(self, parent):
        path = os.path.join(parent, f'cupel-hostile-{os.getpid()}')
        os.makedirs(path, exist_ok=True)
        for name in ['', 'cgroup.procs', 'tasks', 'cgroup.threads', 'cgroup.subtree_control']:
            if os.path.exists(os.path.join(path, name)):
                os.chown(os.path.join(path, name), USER, USER)
        if path not in self.groups:
            self.groups.append(path)

    def enter(self):
        for path in self.groups:
            with open(path + '/cgroup.procs', 'w') as f:
                f.write('0')

    def remove(self, killed):
        """Raises for groups of jobs that are left, but by a caller who was killed."""
        left = []
        for path in self.groups:
            for folder, _, _ in os.walk(path, topdown=False):
                if folder not in (path, path + '/cupel', path + '/cupel-caller'):
                    left.append(folder)
                os.rmdir(folder)
        if left and not killed:
            raise Escape(f'control groups left behind: {left[0]}')


class Result:
    def __init__(self, done, report):
        self.status = done.returncode
        out = done.stdout.decode(errors='replace')
        self.ended = END in out
        self.out = out.replace(END + '\n', '')
        self.err = done.stderr.decode(errors='replace')
        self.report = report

    def check(self, scripted, cut, may_refuse):
        """Raises for an attack that didn't take place to its end, unless it was to be `cut`."""
        if self.report.get('verdict') == 'errored':
            reason = self.report.get('reason')
            if os.geteuid() != 0 and "can't be held here" in reason:
                raise Skip(reason)
            if not may_refuse:
                raise Broken(f'it never ran: {reason}')
        elif scripted and not cut and not self.ended:
            raise Broken(f'it ended early, status {self.status}: {self.err[-300:]}')
        elif re.search(r': not found$', self.err, re.M):
            raise Broken(f'a tool is missing: {self.err[-300:]}')

    @property
    def all(self):
        return self.out + self.err


class Bench:
    def __init__(self, program, who, weak=None, launcher=False):
        self.program, self.who, self.weak, self.launcher = program, who, weak, launcher
        self.secret = secrets.token_hex(16)
        self.outlived = None  # why its place could not be removed at once

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix='cupel-hostile-')
        self.tree = os.path.join(self.top, 'tree')
        self.outside = os.path.join(self.top, 'outside')
        os.chmod(self.top, 0o755)
        os.mkdir(self.tree)
        os.mkdir(self.outside)
        self.secret_file = os.path.join(self.outside, 'secret')
        self.write(self.secret_file, self.secret)
        if self.who == 'user' and os.geteuid() == 0:
            for path in (self.tree, self.outside, self.secret_file):
                os.chown(path, USER, USER)
        return self

    def __exit__(self, *_):
        """Who still writes there while it is removed, after the verdict, has escaped."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                return shutil.rmtree(self.top)
            except OSError as cause:
                self.outlived = self.outlived or str(cause)
                if time.monotonic() > end:
                    raise

    @staticmethod
    def write(path, text, mode=0o644):
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)

    def as_user(self, enter=None):
        if self.who != 'user' or os.geteuid() != 0:
            return {}
        if not enter:
            return {'user': USER, 'group': USER, 'extra_groups': []}

        def become():
            enter()
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
        return {'preexec_fn': become}

    def command(self, argv, options):
        if self.weak == 'plain':
            return argv
        if self.weak == WITHOUT:
            options = []
        weaker = self.weak if isinstance(self.weak, list) else []
        extra = [*weaker, *(['--launcher'] if self.launcher else [])]
        self.report_file = os.path.join(self.outside, 'report')
        return [self.program, '--report', self.report_file, '--wall', '20s', *extra, *options,
                '--', *argv]

    def run(self, argv, *options, env=None, tree=None, enter=None, scripted=False, cut=False,
            may_refuse=False, **more):
        """Runs `argv` in the worktree behind the walls of this bench; a script (a string) must come
        to its end unless its limits are to `cut` it."""
        if isinstance(argv, str):
            argv, scripted = ['sh', '-c', f'{argv}\necho {END}'], True
        more = {'stdin': subprocess.DEVNULL, **self.as_user(enter), **more}
        done = subprocess.run(self.command(argv, options), cwd=tree or self.tree, timeout=SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, **(env or {})}, **more)
        result = Result(done, self.read_report())
        result.check(scripted, cut, may_refuse)
        return result

    def start(self, argv, *options, enter=None):
        if isinstance(argv, str):
            argv = ['sh', '-c', argv]
        return subprocess.Popen(self.command(argv, options), cwd=self.tree,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **self.as_user(enter))

    def python(self, code, *options, prefix=(), **more):
        return self.run([*prefix, 'python3', '-c', f'{PRELUDE}{code}\nprint("{END}")'], *options,
                        scripted=True, **more)

    @contextlib.contextmanager
    def held(self, code, *options, enter=None):
        """Runs code in Python that stays at its end, to be looked at: the pids of its processes."""
        marker = 'held-' + secrets.token_hex(8)
        stay = f'\nprint("{END}", flush=True)\nimport time; time.sleep(20)'
        job = self.start(['python3', '-c', PRELUDE + code + stay, marker], *options, enter=enter)
        try:
            if not select.select([job.stdout], [], [], SECONDS)[0] or \
                    END not in os.read(job.stdout.fileno(), 4096).decode(errors='replace'):
                job.terminate()
                raise Broken('it ended early: ' + job.communicate()[1].decode()[-300:])
            yield processes(marker, 'python3\0')
        finally:
            for pid in processes(marker, 'python3\0') if self.weak == 'plain' else []:
                os.kill(pid, 9)
            job.terminate()
            job.communicate(timeout=SECONDS)

    def read_report(self):
        try:
            with open(self.report_file) as f:
                return json.load(f)
        except (AttributeError, OSError, ValueError):
            return {}

    @contextlib.contextmanager
    def groups(self, killed=False):
        """What enters control groups in which limits can be held: a user gets his own for it, and
        where he is `killed` in them they are removed with what he left, as a service manager does."""
        if self.who != 'user' or os.geteuid() != 0:
            yield None
            return
        groups = Delegated()
        try:
            yield groups.enter
        except OSError as cause:
            raise Skip(f'control groups can not be delegated here: {cause}') from cause
        finally:
            groups.remove(killed)

    def limited(self, argv, *options, **more):
        with self.groups() as enter:
            return self.run(argv, *options, enter=enter, **more)


def processes(marker, program=''):
    """The pids of others whose command line has the marker in it and begins with the program."""
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError), open(path, 'rb') as f:
            line, pid = f.read(), int(path.split('/')[2])
            if line.startswith(program.encode()) and marker.encode() in line and pid != os.getpid():
                found.append(pid)
    return found


# What attacks written in Python share: raw system calls with their errno.
PRELUDE = '''
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return result if result >= 0 else -ctypes.get_errno()
def attack(what, function):
    try:
        got = function()
        if got is not None and got is not False and not (isinstance(got, int) and got < 0):
            print("REACHED", what, got)
    except OSError:
        pass
'''


def none_reached(result):
    """Raises for the first thing that an attack says it reached."""
    for line in result.out.splitlines():
        if 'REACHED' in line:
            raise Escape(line.partition('REACHED ')[2])


def not_shown(bench, result):
    if bench.secret in result.all:
        raise Escape('the secret')
