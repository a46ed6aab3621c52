"""Attacks on other processes and other jobs: their memory, signals, channels."""
import contextlib
import glob
import os
import re
import subprocess

from attacks import attack, processes, wait_until
from bench import Broken, Escape, not_shown


@attack(weak='plain')
def sees_the_host_s_processes(b):
    r = b.run('ls /proc | grep -c "^[0-9]"')
    if int(r.out) > 6:
        raise Escape(r.out.strip() + ' processes')


@attack(weak='plain')
def kills_its_neighbour(b):
    marker = f'sleep 60.{int(b.secret[:8], 16)}'
    neighbour = b.start(marker)
    try:
        if not wait_until(lambda: processes(marker.replace(' ', '\0'))):
            raise Broken('the neighbour did not start')
        pid = processes(marker.replace(' ', '\0'))[0].split('/')[2]
        everybody = '' if b.weak else 'kill -9 -1; kill -9 1; setsid -w sh -c "kill -9 0"'
        b.run(f'kill -9 {pid}\n{everybody}')
        if wait_until(lambda: not processes(marker.replace(' ', '\0')), 2 if b.weak else 0):
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
def survives(b):
    marker = f'77.{int(b.secret[:8], 16)}'
    b.run(f'for i in 1 2; do (setsid setsid sh -c "trap \\"\\" TERM HUP INT; touch started$i; '
          f'exec sleep {marker}" & ) >/dev/null 2>&1; done; '
          'until [ -e started1 ] && [ -e started2 ]; do sleep 0.01; done')
    alive = processes(marker)
    for path in alive:
        os.kill(int(path.split('/')[2]), 9)
    if alive:
        raise Escape('a process after the verdict')


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
    alive = processes(marker)
    for path in alive:
        os.kill(int(path.split('/')[2]), 9)
    if alive:
        raise Escape('a process after the verdict')


@attack(weak='plain')
def outlives_its_caller(b):
    marker = f'sleep 78.{int(b.secret[:8], 16)}'.replace(' ', '\0')
    command = marker.replace('\0', ' ')
    caller = b.start(f'trap "" TERM; setsid {command} & {command}; true')
    try:
        if not wait_until(lambda: len(processes(marker)) >= 2):
            raise Broken('it did not start')
    finally:
        caller.kill()
        caller.wait()
    gone = wait_until(lambda: not processes(marker), 0.3 if b.weak else 10)
    for path in processes(marker):
        os.kill(int(path.split('/')[2]), 9)
    caller.communicate()
    if not gone:
        raise Escape("a process after its caller's death")


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
