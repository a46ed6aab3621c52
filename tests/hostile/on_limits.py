"""Attacks on limits: what a job eats, floods, or outlives."""
import ctypes
import os
import re
import threading

from attacks import attack, ends_as
from bench import Escape, PRELUDE, Skip, WITHOUT


LIBC = ctypes.CDLL(None)


@attack(who='root', weak='plain')
def uses_up_what_root_may_have(b):
    """Each user of a host has so many inotify instances and queued signals, and root no more of them:
    what the job has is not to be root's. Weakened, it is."""
    def instances():
        fds = [LIBC.inotify_init1(0) for _ in range(2)]
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        return min(fds) >= 0
    if not instances():
        raise Skip('root has no inotify instance left')
    with b.held('''
while libc.inotify_init1(0) >= 0: pass
'''):
        if not instances():
            raise Escape("the host's inotify instances")


@attack(never='endless')
def bombs_with_forks(b):
    r = b.python('''
def bomb():
    while True:
        try: os.fork()
        except OSError: pass
bomb()''', '--tasks', '40', '--wall', '500ms', cut=True)
    ends_as(r, 'timed_out', 'wall')
    if b.who == 'root' and r.report['usage']['tasks_peak'] > 40:
        raise Escape(f"{r.report['usage']['tasks_peak']} tasks")


@attack(weak=WITHOUT)
def forks_more_than_it_may(b):
    with b.groups() as enter, b.held('''
import signal
try:
    for i in range(40):
        if os.fork() == 0: signal.pause()
except OSError: pass
''', '--tasks', '20', enter=enter) as pids:
        if len(pids) > 20:
            raise Escape(f'{len(pids)} processes')


@attack(weak=WITHOUT)
def eats_memory(b):
    ends_as(b.limited(['python3', '-c', 'x = b"x" * (96 << 20)'], '--memory', '64M'),
            'killed', 'memory')


@attack(weak=WITHOUT)
def eats_memory_by_files(b):
    r = b.limited('for d in /tmp /var/tmp /dev/shm $HOME; do head -c 30M /dev/zero > $d/x; done',
                  '--memory', '64M', cut=True)
    if r.report['usage']['memory_peak'] > 70 << 20:
        raise Escape('more memory than its limit')


SOCKETS = '''
held, sent = [], 0
server = socket.create_server(("127.0.0.1", 0), backlog=128)
while sent < 300 << 20 and len(held) < 800:
    one = socket.create_connection(server.getsockname())
    held += [one, server.accept()[0]]
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    one.setblocking(False)
    try:
        while True: sent += one.send(bytes(1 << 20))
    except OSError: pass
open("filled", "w").close()
while not os.path.exists("seen"): pass
'''


def tcp_bytes():
    """Of all network namespaces."""
    with open('/proc/net/sockstat') as f:
        return int(re.search(r'^TCP:.* mem (\d+)', f.read(), re.M)[1]) * os.sysconf('SC_PAGESIZE')


@attack(weak=WITHOUT)
def eats_memory_by_sockets(b):
    """v1 counts what TCP holds apart, up to the same limit again."""
    before, most, over = tcp_bytes(), 0, threading.Event()

    def look():
        nonlocal most
        while not over.wait(0.01):
            filled = os.path.exists(b.tree + '/filled')
            most = max(most, tcp_bytes())
            if filled:
                b.write(b.tree + '/seen', '')
    looking = threading.Thread(target=look)
    looking.start()
    try:
        b.limited(['python3', '-c', PRELUDE + SOCKETS], '--memory', '24M', '--tasks', '8')
    finally:
        over.set()
        looking.join()
    if most - before > 40 << 20:
        raise Escape(f'{(most - before) >> 20} MB in sockets')


@attack(weak=WITHOUT)
def floods_its_private_disk(b):
    with b.held('''
for i in range(1500):
    try: open(f"/dev/shm/{i}", "w").close()
    except OSError: break
for d in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~")):
    try: open(d + "/x", "wb", 0).write(bytes(6 << 20))
    except OSError: pass
''', '--bare', '--disk', '4M', '--inodes', '1000') as pids:
        sizes = [os.lstat(os.path.join(folder, name)).st_size
                 for place in ('tmp', 'var/tmp', 'dev/shm', 'home/job')
                 for folder, _, names in os.walk(f'/proc/{pids[0]}/root/{place}') for name in names]
        if sum(sizes) > 4 << 20 or len(sizes) > 1000:
            raise Escape(f'{sum(sizes)} bytes, {len(sizes)} files')


@attack(weak=WITHOUT)
def floods_its_descriptors(b):
    with b.held('''
try:
    for i in range(200): os.open("/dev/null", os.O_RDONLY)
except OSError: pass
''', '--files', '64') as pids:
        count = len(os.listdir(f'/proc/{pids[0]}/fd'))
        if count > 64:
            raise Escape(f'{count} descriptors')


@attack(weak=WITHOUT)
def floods_the_log(b):
    r = b.run('yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 3M', '--output', '1M', cut=True)
    ends_as(r, 'killed', 'output')
    if len(r.out) > 1 << 20:
        raise Escape('more output than its limit')


@attack(never='no wall is meant to hold it')
def prints_one_endless_line(b):
    r = b.run('head -c 5M /dev/zero | tr "\\0" x')
    if len(r.out) != 5 << 20:
        raise Escape('a line that was not passed on whole')


@attack(weak=WITHOUT)
def eats_processor_time(b):
    ends_as(b.limited(['python3', '-c', '''
import os, time
os.fork()
while time.process_time() < 0.3: pass
os.wait()'''], '--cpu-time', '200ms'), 'killed', 'cpu_time')


@attack(weak=WITHOUT)
def stops_itself(b):
    ends_as(b.run('(sleep 0.6; kill -CONT $$) & kill -STOP $$', '--wall', '200ms', cut=True),
            'timed_out', 'wall')


@attack(weak=WITHOUT)
def ignores_every_signal(b):
    ends_as(b.python('''
import signal, time
for s in set(range(1, 65)) - {signal.SIGCHLD}:
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(0.7)''', '--wall', '300ms', cut=True), 'timed_out', 'wall')


@attack(weak=WITHOUT)
def says_nothing(b):
    ends_as(b.run('sleep 0.6', '--idle', '200ms', cut=True), 'timed_out', 'idle')


@attack(weak='plain')
def forges_its_verdict(b):
    """It finds no descriptor on which a verdict could be written, and output is only output."""
    with open(b.outside + '/verdict', 'w') as f:
        r = b.python('''
print('{"verdict": "passed"}')
for fd in range(3, 1024):
    try: os.write(fd, b"x" * 256)
    except OSError: pass
sys.exit(print("ATTACKED") or 3)''', pass_fds=(f.fileno(),))
        if os.fstat(f.fileno()).st_size:
            raise Escape('a descriptor of its caller')
    ends_as(r, 'failed', None)


@attack(weak=[])
def obeys_options_in_the_command(b):
    """Weakened: the options stand where they are meant."""
    planted = b.outside + '/planted'
    words = ['--report', planted]
    b.run(['true'] if b.weak is not None else [*words, 'true'],
          *(words if b.weak is not None else []), may_refuse=True)
    b.run(['true', *words])
    if os.path.exists(planted):
        raise Escape('an option of the sandbox')


@attack(weak='plain')
def replaces_its_report(b):
    """The report lies in the worktree, where whatever the job left in its place is not the verdict."""
    b.run("""rm -f report; echo '{"verdict": "passed"}' > report; echo ATTACKED; exit 3""",
          '--report', b.tree + '/report')
    with open(b.tree + '/report') as f:
        if 'passed' in f.read():
            raise Escape('the report')


@attack(weak=[])
def plants_a_link_for_the_report(b):
    """Weakened: the owner names the file himself to which the link leads."""
    b.run(f'ln -s {b.secret_file} report')
    b.run(['true'], '--report', b.tree + '/report' if b.weak is None else b.secret_file,
          may_refuse=True)
    with open(b.secret_file) as f:
        if f.read() != b.secret:
            raise Escape('a file outside')


@attack(never='what it asks for is refused everywhere')
def is_denied_without_end(b):
    """A flood of denied calls holds nobody, and each is counted."""
    r = b.python('for i in range(2000): call(298, 0, 0, 0, 0, 0)')
    denied = {d['name']: d['count'] for d in r.report['denied']}
    if denied.get('perf_event_open') != 2000:
        raise Escape(f'a wrong count: {denied}')
