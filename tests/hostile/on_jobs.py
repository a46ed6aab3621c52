"""Attacks on other processes and other jobs: their memory, signals, channels."""
import contextlib
import ctypes
import glob
import os
import re
import signal
import socket
import subprocess
import time

from attacks import attack, nothing_lives, wait_until
from bench import SECONDS, WITHOUT, Broken, Escape, none_reached, not_shown, processes


@attack(weak='plain')
def sees_the_host_s_processes(b):
    r = b.run('ls /proc | grep -c "^[0-9]"')
    if int(r.out) > 6:
        raise Escape(r.out.strip() + ' processes')


@attack(weak='plain')
def kills_its_neighbour(b):
    command = f'sleep 60.{int(b.secret[:8], 16)}'
    marker = command.replace(' ', '\0')
    neighbour = b.start(command)
    try:
        if not wait_until(lambda: processes(marker)):
            raise Broken('the neighbour did not start')
        pid = processes(marker)[0]
        everybody = '' if b.weak else 'kill -9 -1; kill -9 1; setsid -w sh -c "kill -9 0"'
        b.run(f'kill -9 {pid}\n{everybody}')
        if wait_until(lambda: not processes(marker), 2 if b.weak else 0):
            raise Escape("the neighbour's process")
    finally:
        neighbour.terminate()
        neighbour.communicate()


@attack(never="without walls the first process is this host's, its parent this test")
def kills_its_supervisor(b):
    r = b.python('''
import signal
for pid in (os.getppid(), 1):
    for s in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
        attack("signal", lambda: os.kill(pid, s))
''')
    if r.status != 0 or r.report['verdict'] != 'passed':
        raise Escape('the supervisor')


@attack(who='user', never="without walls the first process is this host's")
def limits_its_supervisor(b):
    """Where only one id can be mapped the first process is the job's own user's."""
    r = b.python('''
import resource
none = (ctypes.c_ulong * 2)(0, 0)
attack("limits", lambda: call(302, 1, 0, none, 0))
attack("memory", lambda: call(302, 1, resource.RLIMIT_AS, none, 0))
for which in (0, 1):
    attack("priority", lambda: call(141, which, 1, 19))
attack("policy", lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
attack("processors", lambda: os.sched_setaffinity(1, {0}))
attack("io", lambda: call(251, 1, 1, 3 << 13))
for _ in range(20): # its first process has to work
    if os.fork() == 0:
        os._exit(0 if os.fork() else 1)
    os.wait()
''')
    none_reached(r)
    if r.status != 0 or r.report['verdict'] != 'passed':
        raise Escape('the supervisor: ' + r.report['reason'])


@attack(weak='plain')
def traces_others(b):
    """Its first process, its parent and one outside, which without walls is the only one."""
    victim = subprocess.Popen(['sleep', '60'], **b.as_user())
    others = [] if b.weak else [1, 'os.getppid()']
    try:
        with b.held(f'''
for pid in [{', '.join(map(str, [victim.pid, *others]))}]: call(101, 16, pid, 0, 0)
''') as pids:
            for path in glob.glob('/proc/[0-9]*/status'):
                with contextlib.suppress(OSError), open(path) as f:
                    if int(re.search(r'^TracerPid:\s+(\d+)', f.read(), re.M)[1]) in pids:
                        raise Escape('a process that it traces, ' + path)
    finally:
        victim.kill()
        victim.wait()


@attack(weak='plain')
def holds_the_verdict_by_tracing(b):
    """Whoever is traced by somebody who doesn't look isn't given to his parent when he ends."""
    began = time.monotonic()
    b.python('''
ready, told = os.pipe()
libc.prctl(0x59616d61, ctypes.c_long(-1), 0, 0, 0)
parent = os.getpid()
if os.fork() == 0:
    for fd in range(3): os.close(fd)
    os.write(told, b"+" if call(101, 0x4206, parent, 0, 0) == 0 else b"-")
    import time
    time.sleep(8)
    os._exit(0)
if os.read(ready, 1) != b"+": sys.exit("not traced")
''')
    if time.monotonic() - began > 6:
        raise Escape('the verdict, held for 8 seconds')


LIBC = ctypes.CDLL(None)
LIBC.ptrace.argtypes = [ctypes.c_long] * 4
PTRACE_TRACEME, PTRACE_DETACH, PTRACE_SYSCALL = 0, 17, 24
PR_SET_CHILD_SUBREAPER = 36


@attack(weak='plain')
def survives(b):
    marker = f'77.{int(b.secret[:8], 16)}'
    b.run(f'for i in 1 2; do (setsid setsid sh -c "trap \\"\\" TERM HUP INT; touch started$i; '
          f'exec sleep {marker}" & ) >/dev/null 2>&1; done; '
          'until [ -e started1 ] && [ -e started2 ]; do sleep 0.01; done')
    nothing_lives(marker)


@attack(weak='plain')
def survives_as_a_subreaper_s_child(b):
    marker = f'79.{int(b.secret[:8], 16)}'
    b.python(f'''
import signal
libc.prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        libc.prctl(1, 0, 0, 0, 0)
        for fd in range(3): os.close(fd)
        for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(s, signal.SIG_IGN)
        os.mkdir("started")
        os.execvp("sleep", ["sleep", "{marker}"])
    os._exit(0)
os.wait()
while not os.path.exists("started"): pass
''')
    nothing_lives(marker)


@attack(weak='plain')
def outlives_its_caller(b):
    command = f'sleep 78.{int(b.secret[:8], 16)}'
    marker = command.replace(' ', '\0')
    caller = b.start(f'trap "" TERM; setsid {command} & {command}; true')
    try:
        if not wait_until(lambda: len(processes(marker)) >= 2):
            raise Broken('it did not start')
    finally:
        caller.kill()
        caller.wait()
    nothing_lives(marker, "after its caller's death", 0.3 if b.weak else 10)
    caller.communicate()


def ended_at(b, call, by, command, enter):
    """Runs it until that signal comes at its so manyth call; its pid, None: it ended before."""
    as_user = b.as_user(enter)
    become = as_user.pop('preexec_fn', lambda: None)

    def traced():
        become()
        LIBC.ptrace(PTRACE_TRACEME, 0, 0, 0)
    caller = subprocess.Popen(b.command(command, ['--tasks', '64']), cwd=b.tree,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, **as_user, preexec_fn=traced)
    for left in range(2 * call, -1, -1):
        _, status = os.waitpid(caller.pid, 0)
        if not os.WIFSTOPPED(status):
            caller.returncode = status
            return None
        stopped = os.WSTOPSIG(status)
        if left == 0:
            os.kill(caller.pid, by)
        LIBC.ptrace(PTRACE_SYSCALL if left else PTRACE_DETACH, caller.pid, 0,
                    0 if stopped == signal.SIGTRAP else stopped)
    caller.wait(SECONDS)
    return caller.pid


def inherited(seconds):
    """What this process inherited and hasn't ended by then, and has now."""
    end, left = time.monotonic() + seconds, []
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        with open(f'/proc/self/task/{os.getpid()}/children') as f:
            left = [int(pid) for pid in f.read().split()]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return left


def mounts():
    with open('/proc/self/mountinfo') as f:
        return len(f.readlines())


@attack(weak='plain')
def outlives_a_caller_ended_at_any_call(b):
    """Killed or told to end, by turns. Groups of the killed are cleared by who comes next."""
    before, call, pid, ended = mounts(), 1, 0, set()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        while pid is not None:
            by = (signal.SIGKILL, signal.SIGTERM)[call % 2]
            with b.groups(by == signal.SIGKILL) as enter:
                pid = ended_at(b, call, by, ['sh', '-c', 'setsid sleep 84 & true'], enter)
                if inherited(0.2 if b.weak else 10):
                    raise Escape(f'a process whose caller was ended at call {call} by {by.name}')
            ended.add(pid)
            call += 9
    finally:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    b.run('true', '--tasks', '64', may_refuse=True)  # clears the groups that the killed left
    for path in glob.glob('/sys/fs/cgroup/**/job-*', recursive=True):
        if int(path.rsplit('-', 2)[1]) in ended:
            raise Escape(f'a control group is left: {path}')
    if mounts() != before:
        raise Escape('a mount is left')
    left = [name for name in os.listdir(b.outside) if 'report' not in name]  # or half of one
    if left != ['secret']:
        raise Escape(f'files are left: {left}')


FLOOD = '''
import os, socket
def start_another():
    if os.fork() == 0: os._exit(0)
    os.wait()
acts = [lambda: os.write(1, b"x" * 65536), lambda: socket.socket().close(),
        lambda: open("file", "w").close(), start_another]
for i in range(32):
    if os.fork() == 0:
        while True:
            try: acts[i % 4]()
            except BlockingIOError: pass
os.wait()
'''


def answers(server):
    """The host starts a process and takes a connection, as it would for anybody else."""
    subprocess.run(['true'], check=True, timeout=5)
    with socket.create_connection(server.getsockname(), timeout=5):
        server.accept()[0].close()


@attack(weak=WITHOUT)
def keeps_the_host_busy(b):
    """Meanwhile the host answers, and all is over in time: that alone is weakened."""
    marker = 'flood-' + b.secret[:12]
    job = b.start(['python3', '-c', FLOOD, marker], '--tasks', '64', '--wall', '1s')
    reader = subprocess.Popen(['cat'], stdin=job.stdout, stdout=subprocess.DEVNULL)
    try:
        with socket.create_server(('127.0.0.1', 0)) as server:
            def is_over():
                answers(server)
                return not processes(marker)
            if not wait_until(lambda: len(processes(marker)) > 30):
                raise Broken('there was no flood')
            if not wait_until(is_over, 4):
                raise Escape('a flood after its time')
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Escape(f'the host did not answer: {error}') from error
    finally:
        job.kill()
        job.communicate()
        reader.wait()
        nothing_lives(marker, "after its caller's death", 10)  # it would write while the tree goes


def channel(b, write, read):
    b.python(write)
    r = b.python(read)
    if b.secret in r.out:
        raise Escape('a channel between runs')


@attack(weak='plain')
def talks_by_shared_memory_ids(b):
    key = int(b.secret[:6], 16)
    channel(b, f'''
i = libc.shmget({key}, 4096, 0o1666); p = libc.shmat; p.restype = ctypes.c_void_p
ctypes.memmove(p(i, None, 0), b"{b.secret}\\0", 33)''', f'''
i = libc.shmget({key}, 4096, 0o666); p = libc.shmat; p.restype = ctypes.c_void_p
if i >= 0: print(ctypes.string_at(p(i, None, 0)).decode()); libc.shmctl(i, 0, None)''')


@attack(weak='plain')
def talks_by_posix_queues(b):
    name = '/q' + b.secret[:8]
    channel(b, f'''
rt = libc
q = rt.mq_open(b"{name}", os.O_CREAT | os.O_WRONLY, 0o666, None)
rt.mq_send(q, b"{b.secret}", 32, 0)''', f'''
q = libc.mq_open(b"{name}", os.O_RDONLY)
buf = ctypes.create_string_buffer(8192)
if q >= 0: libc.mq_receive(q, buf, 8192, None); print(buf.value.decode()); libc.mq_unlink(b"{name}")''')


@attack(weak='plain')
def talks_by_temporary_files(b):
    name = 'cupel-hostile-' + b.secret[:8]
    try:
        channel(b, f'''
for d in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~")):
    try: open(d + "/{name}", "w").write("{b.secret}")
    except OSError: pass''', f'''
for d in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~")):
    try: print(open(d + "/{name}").read())
    except OSError: pass''')
    finally:
        for d in ('/tmp', '/var/tmp', '/dev/shm', os.path.expanduser('~')):
            if os.path.exists(f'{d}/{name}'):
                os.unlink(f'{d}/{name}')


@attack(weak='plain')
def talks_by_keyrings(b):
    channel(b, f'''
call(248, b"user", b"{b.secret[:8]}", b"{b.secret}", 32, -4)''', f'''
key = call(250, 10, -4, b"user", b"{b.secret[:8]}", 0)
text = ctypes.create_string_buffer(33)
if key > 0: call(250, 11, key, text, 32); print(text.value.decode()); call(250, 9, key, -4)''')


@attack(weak='plain')
def takes_a_descriptor_from_another_job(b):
    """Which the other one would give: jobs of one owner have no place to meet."""
    name = '\0cupel-hostile-' + b.secret
    with b.held(f'''
import tempfile, threading
own = tempfile.TemporaryFile()
own.write(b"{b.secret}")
own.flush()
door = socket.socket(socket.AF_UNIX)
door.bind({name!r})
door.listen()
def give():
    while True: socket.send_fds(door.accept()[0], [b"x"], [own.fileno()])
threading.Thread(target=give, daemon=True).start()'''):
        not_shown(b, b.python(f'''
def take():
    other = socket.socket(socket.AF_UNIX)
    other.connect({name!r})
    print(os.pread(socket.recv_fds(other, 1, 1)[1][0], 100, 0).decode())
attack("", take)'''))
