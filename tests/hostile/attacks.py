"""The attacks, by class. Each is a function of a Bench that raises Escape when it got through."""
import concurrent.futures
import contextlib
import ctypes
import fcntl
import glob
import hashlib
import os
import pty
import re
import resource
import shutil
import shutil
import socket
import struct
import subprocess
import termios
import time

from bench import Broken, Escape, Skip, USER, WITHOUT, none_reached, not_shown

CASES = []


def attack(weak=None, weak_user=None, who=None, never=None):
    """`weak`: how it is shown to be able to succeed, 'plain', WITHOUT or options ([]: it looks at
    b.weak), or why it `never` is; `who`: only for them."""
    assert (weak is None) != (never is None)

    def add(function):
        function.name = function.__name__.replace('_', '-')
        function.weak, function.weak_user, function.who = weak, weak_user, who
        CASES.append(function)
        return function
    return add


def processes(marker):
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, 'rb') as f:
                if marker.encode() in f.read() and path != f'/proc/{os.getpid()}/cmdline':
                    found.append(path)
        except OSError:
            pass
    return found


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@contextlib.contextmanager
def exchanging(one, other):
    """Two names that change places without end, as a job's neighbour could make them."""
    swapper = subprocess.Popen(['python3', '-c', f'''
import ctypes
libc, one, other = ctypes.CDLL(None), {one.encode()!r}, {other.encode()!r}
while libc.renameat2(-100, one, -100, other, 2) == 0: pass'''])
    try:
        yield
    finally:
        broke = swapper.poll() is not None
        swapper.kill()
        swapper.wait()
    if broke:
        raise Broken('the names were not exchanged')


def while_turning(b, launch):
    """Launches until some were refused and some have run: each looks at what it was given."""
    ran = refused = 0
    for _ in range(30):
        r = launch()
        not_shown(b, r)
        refused += r.report.get('verdict') == 'errored'
        ran += r.report.get('verdict') == 'passed' or r.ended
        if ran >= 4 and refused >= 2:
            break
    if ran == 0:
        raise Broken('no run met a directory')


# --- files ------------------------------------------------------------------------------------


@attack(weak='plain')
def reads_a_file_beside_the_worktree(b):
    not_shown(b, b.run(f'cat ../outside/secret {b.secret_file}; cd ../../../../../..; '
                       f'cat .{b.secret_file}'))


@attack(weak='plain', weak_user='root')
def writes_beside_the_worktree(b):
    b.run(f'echo x > ../outside/new; echo x > {b.outside}/new; mv ../outside/secret .; true')
    if os.path.exists(b.outside + '/new') or not os.path.exists(b.secret_file):
        raise Escape('a file outside')


@attack(weak='plain')
def follows_a_planted_link(b):
    os.symlink(b.secret_file, b.tree + '/link')
    os.symlink('/', b.tree + '/tmp')
    not_shown(b, b.run(f'cat link tmp{b.secret_file}'))


@attack(weak='plain')
def uses_a_leaked_descriptor(b):
    fd = os.open(b.secret_file, os.O_RDONLY)
    try:
        not_shown(b, b.run(f'cat <&{fd}; cat /proc/self/fd/{fd}', pass_fds=(fd,)))
    finally:
        os.close(fd)


@attack(weak='plain')
def leaves_by_a_leaked_directory(b):
    fd = os.open(b.outside, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(fd, True)
    try:
        not_shown(b, b.python(f'''
for fd in range(3, 64):
    try: print(os.read(os.open("secret", os.O_RDONLY, dir_fd=fd), 99))
    except OSError: pass
''', pass_fds=(fd,)))
    finally:
        os.close(fd)


@attack(weak='plain', weak_user='root')
def overwrites_the_launcher(b):
    def digest():
        with open(b.program, 'rb') as f:
            return hashlib.sha256(f.read()).digest()
    before = digest()
    none_reached(b.python('''
for pid in ("1", "self/../1", str(os.getppid())):
    attack("launcher", lambda: os.open(f"/proc/{pid}/exe", os.O_WRONLY))
    attack("launcher", lambda: os.open(f"/proc/{pid}/exe", os.O_RDONLY))
'''))
    if digest() != before:
        raise Escape('the launcher is changed')


@attack(weak='plain', weak_user='root')
def opens_what_the_first_process_holds(b):
    none_reached(b.run('for d in fd root cwd map_files ns task/1/fd; do '
                       'ls /proc/1/$d/ 2>/dev/null | grep -q . && echo REACHED /proc/1/$d; done'))


@attack(weak='plain')
def reads_the_environment_of_others(b):
    not_shown(b, b.run("cat /proc/*/environ /proc/*/task/*/environ 2>/dev/null | tr '\\0' '\\n'",
                       env={'TOKEN': b.secret}))


@attack(weak='plain', weak_user='root')
def reads_the_caller_s_memory_and_arguments(b):
    r = b.run("""for p in 1 $PPID; do tr '\\0' ' ' < /proc/$p/cmdline
head -c 1 /proc/$p/mem && echo REACHED memory
head -c 1 /proc/$p/maps | grep -q . && echo REACHED maps; done""")
    none_reached(r)
    if '--report' in r.out:
        raise Escape("the caller's command line")


@attack(weak='plain', weak_user='root')
def changes_the_system(b):
    targets = [b.outside + '/x', '/usr/x-hostile', '/etc/x-hostile', '/run/x-hostile']
    b.run('for f in ' + ' '.join(targets) + '; do echo x > $f; done; true')
    hit = [t for t in targets if os.path.exists(t)]
    for t in hit:
        os.unlink(t)
    if hit:
        raise Escape(hit[0])


@attack(weak=[])
def writes_a_bind_that_is_read_only(b):
    """Weakened: one that is writable."""
    mode = '' if b.weak is None else ':rw'
    b.run('echo x > /opt/o/new; rm -f /opt/o/secret; chmod 777 /opt/o/secret',
          '--bind', b.outside + ':/opt/o' + mode)
    if os.path.exists(b.outside + '/new') or not os.path.exists(b.secret_file):
        raise Escape('a read-only bind')


@attack(weak='plain')
def turns_the_source_of_a_bind(b):
    """The source changes places with a link while the sandbox starts."""
    source, link = b.top + '/source', b.top + '/link'
    os.mkdir(source)
    os.symlink(b.outside, link)
    place = source if b.weak == 'plain' else '/opt/o'
    with exchanging(source, link):
        while_turning(b, lambda: b.run(f'cat {place}/secret', '--bind', source + ':/opt/o',
                                       may_refuse=True))


@attack(weak=[])
def turns_the_target_of_a_bind(b):
    """A link in the worktree stands where a bind shall be, or changes places with a directory.
    Weakened: a directory stands there, and the bind is looked for in it."""
    os.makedirs(b.tree + '/place/doc')
    if b.weak is None:
        os.symlink('/usr/share', b.tree + '/deps')
    else:
        os.makedirs(b.tree + '/deps/doc')
    wrong = '/usr/share/doc' if b.weak is None else '/build/deps/doc'

    def launch():
        return b.run(f'cat {wrong}/secret', '--bind', b.outside + ':/build/deps/doc',
                     may_refuse=True)
    not_shown(b, launch())
    with exchanging(b.tree + '/place', b.tree + '/deps'):
        while_turning(b, launch)


@attack(weak=[])
def follows_links_of_a_root_tree(b):
    """Links where the sandbox puts its own into somebody's tree, or what it shows of it, lead out of
    it. Weakened: the directory itself is there."""
    root = b.top + '/root'
    os.makedirs(root + '/bin')
    b.write(b.top + '/x.c', '''#include <stdio.h>
int main(int count, char **words)
{
    char text[99] = "";
    FILE *f = fopen(words[count - 1], "r");
    puts(f && fgets(text, sizeof(text), f) ? text : "nothing");
    return 0;
}''')
    subprocess.run(['gcc', '-static', '-o', root + '/bin/x', b.top + '/x.c'], check=True)
    if 'nothing' not in b.run(['/bin/x', 'none'], '--root', root).out:
        raise Broken('the tree does not work')
    before = set(os.listdir(b.outside))
    for place in ('dev', 'proc', 'tmp', 'etc', 'build', 'sys', 'home', 'usr'):
        if b.weak is None:
            os.symlink(b.outside, f'{root}/{place}')
        else:
            shutil.copytree(b.outside, f'{root}/{place}')
        not_shown(b, b.run(['/bin/x', f'/{place}/secret'], '--root', root, may_refuse=True))
        if set(os.listdir(b.outside)) != before:
            raise Escape(f'what {place} leads to: {os.listdir(b.outside)}')
        os.rename(f'{root}/{place}', f'{b.top}/{place}')


@attack(weak='plain')
def makes_the_worktree_a_link(b):
    """What a job left as a link, or still exchanges with one, is no worktree for the next run."""
    inner, link = b.tree + '/inner', b.tree + '/link'
    os.mkdir(inner)
    os.chmod(inner, 0o777)
    b.run(f'ln -s {b.outside} link')
    place = {'tree': link} if b.weak == 'plain' else {}
    not_shown(b, b.run('cat secret', '--workdir', link, may_refuse=True, **place))
    place = {'tree': inner} if b.weak == 'plain' else {}
    with exchanging(inner, link):
        while_turning(b, lambda: b.run('cat secret', '--workdir', inner, may_refuse=True, **place))


@attack(weak='plain', weak_user='user')
def runs_a_setuid_program(b):
    if os.geteuid() != 0:
        raise Skip('planting one needs root')
    path = b.tree + '/suid'
    subprocess.run(['cp', '/usr/bin/id', path], check=True)
    os.chmod(path, 0o4755)
    r = b.run(['./suid'])
    if 'euid=0' in r.out or ' uid=0' in r.out:
        raise Escape('root by a setuid program')


@attack(who='root', weak='plain')
def leaves_a_setuid_root_file(b):
    b.python('''
import shutil
shutil.copy("/bin/true", "a")
for f in (lambda: os.chmod("a", 0o4755), lambda: os.open("b", os.O_CREAT | os.O_WRONLY, 0o4755),
          lambda: os.mknod("c", 0o104755), lambda: call(452, -100, b"a", 0o4755, 0),
          lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)):
    attack("x", f)
''')
    for name in os.listdir(b.tree):
        if os.stat(b.tree + '/' + name).st_mode & 0o6000:
            raise Escape('setuid file ' + name)


@attack(weak='plain', weak_user='root')
def opens_a_planted_device(b):
    if os.geteuid() != 0:
        raise Skip('planting one needs root')
    path = b.outside + '/zero' if b.who == 'user' else b.tree + '/zero'
    path = b.tree + '/zero'
    os.mknod(path, 0o20666, os.makedev(1, 5))
    os.chmod(path, 0o666)
    if b.weak == 'plain' and not os.access(path, os.R_OK):
        raise Skip('no device nodes here')
    none_reached(b.run('head -c 1 zero >/dev/null 2>&1 && echo REACHED device; true'))


@attack(weak='plain', weak_user='root')
def makes_a_device(b):
    none_reached(b.python('''
attack("device", lambda: os.mknod("m", 0o60666, os.makedev(254, 0)) or 1)
attack("device", lambda: os.mknod("n", 0o20666, os.makedev(1, 1)) or 1)
for d in ("mem", "kmsg", "vda", "sda", "loop-control", "fuse", "kvm", "net/tun"):
    attack("/dev/" + d, lambda: os.open("/dev/" + d, os.O_RDONLY))
'''))
    if os.listdir(b.tree):
        raise Escape('a device in the worktree')


# --- the kernel's doors -----------------------------------------------------------------------


@attack(never='it would turn those of this host')
def turns_the_kernel_s_knobs(b):
    knobs = ['sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/vm/drop_caches',
             'sys/kernel/hostname', 'sysrq-trigger', 'sys/fs/binfmt_misc/register',
             'irq/default_smp_affinity']
    with open('/proc/sys/kernel/core_pattern') as f:
        before = f.read()
    none_reached(b.run('for k in ' + ' '.join(knobs) +
                       '; do (echo 1 > /proc/$k) 2>/dev/null && echo REACHED $k; done'))
    with open('/proc/sys/kernel/core_pattern') as f:
        if f.read() != before:
            raise Escape('core_pattern')


@attack(weak='plain', weak_user='root')
def reads_the_kernel_s_secrets(b):
    files = 'kcore keys timer_list' + (' kmsg sysrq-trigger' if b.weak is None else '')
    none_reached(b.run(f'for k in {files}; do '
                       'head -c 1 /proc/$k 2>/dev/null | grep -q . && echo REACHED $k; done'))


@attack(weak='plain', weak_user='root')
def mounts(b):
    """What is written below a mount doesn't arrive in the directory that it covers."""
    place = b.tree + '/m'
    try:
        b.python('''
os.mkdir("m")
libc.mount(b"x", b"m", b"tmpfs", 0, None)
open("m/x", "w").close()
''')
        if os.path.ismount(place) or not os.path.exists(place + '/x'):
            raise Escape('a mount in the worktree')
    finally:
        if os.path.ismount(place):
            subprocess.run(['umount', place], check=True)


@attack(weak=['--profile', 'nested'])
def makes_a_user_namespace(b):
    none_reached(b.python('''
attack("unshare", lambda: call(272, 0x10000000) == 0)
'''))


@attack(weak=['--profile', 'nested'])
def makes_namespaces_by_other_calls(b):
    none_reached(b.python('''
def fork_by(*args):
    pid = call(*args)
    if pid == 0: os._exit(0)
    return pid
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    attack("clone %x" % flag, lambda: fork_by(56, flag | 17, 0, 0, 0, 0))
    attack("clone with high bits", lambda: fork_by(56, (1 << 40) | flag | 17, 0, 0, 0, 0))
buffer = ctypes.create_string_buffer(88); buffer[3] = 0x10
attack("clone3", lambda: fork_by(435, buffer, 88))
for ns in ("user", "mnt", "net", "pid"):
    attack("setns", lambda: call(308, os.open(f"/proc/1/ns/{ns}", os.O_RDONLY), 0))
'''))


@attack(weak='plain', weak_user='root')
def uses_the_new_mount_calls(b):
    none_reached(b.python('''
attack("fsopen", lambda: call(430, b"tmpfs", 0))
attack("open_tree", lambda: call(428, -100, b"/tmp", 1))
attack("fspick", lambda: call(433, -100, b"/", 0))
attack("open_tree_attr", lambda: call(467, -100, b"/", 1, 0, 0))
'''))


@attack(weak=['--profile', 'nested'])
def remounts_and_pivots(b):
    """Weakened: as root of namespaces of its own."""
    none_reached(b.python('''
attack("remount", lambda: libc.mount(None, b"/", None, 0x20 | 0x1000, None) == 0)
attack("umount", lambda: libc.umount2(b"/proc/sys", 2) == 0)
attack("pivot_root", lambda: call(155, b".", b".") == 0)
attack("chroot", lambda: call(161, b"/tmp") == 0)
''', prefix=('unshare', '-Urm') if b.weak else ()))


@attack(weak='plain')
def enters_by_the_x32_door(b):
    if ctypes.CDLL(None).syscall(0x40000000 | 39) < 0:
        if b.weak:
            raise Skip('this kernel has no such door')
    none_reached(b.python('''
for number in (39, 272, 101, 165):
    attack("x32 call %d" % number, lambda: call(0x40000000 | number, 0, 0, 0, 0))
'''))


@attack(weak='plain', weak_user='root')
def calls_what_only_hosts_need(b):
    none_reached(b.python('''
calls = {"io_uring_setup": (425, 1, ctypes.create_string_buffer(256)), "bpf": (321, 0, ctypes.create_string_buffer(b"\\x02\\0\\0\\0\\x04\\0\\0\\0\\x08\\0\\0\\0\\x01", 128), 128),
  "perf_event_open": (298, ctypes.create_string_buffer(b"\\x01\\0\\0\\0\\x80", 128), 0, -1, -1, 0),
  "userfaultfd": (323, 1), "keyctl": (250, 0, -3, 1), "add_key": (248, b"user", b"x", b"y", 1, -3),
  "memfd_secret": (447, 0), "syslog": (103, 3, ctypes.create_string_buffer(9), 8), "acct": (163, 0),
  "kcmp": (312, os.getpid(), os.getpid(), 0, 0, 0), "name_to_handle_at": (303, -100, b"/", 0, 0, 0),
  "fanotify_init": (300, 0, 0), "modify_ldt": (154, 0, ctypes.create_string_buffer(8), 8)}
for name, c in calls.items():
    attack(name, lambda: call(*c))
'''))


@attack(weak='plain')
def opens_rare_sockets(b):
    none_reached(b.python('''
for family, kind in ((38, 5), (40, 1), (17, 3), (29, 3), (44, 3), (39, 1), (21, 5), (30, 5), (15, 3)):
    attack("family %d" % family, lambda: socket.socket(family, kind))
attack("high bits", lambda: call(41, (1 << 32) | 38, 5, 0))
'''))


@attack(weak='plain')
def enters_by_the_32_bit_door(b):
    b.write(b.tree + '/x.c', 'int main(void){long r;__asm__ volatile("int $0x80":"=a"(r):"a"(20L):'
            '"memory");return r>0?42:1;}')
    subprocess.run(['gcc', '-o', b.tree + '/x', b.tree + '/x.c'], check=True)
    if b.run(['./x']).status == 42:
        raise Escape('a call in the 32-bit table')


def on_a_terminal(b, code, ask=termios.TIOCGETD):
    """Runs code in Python on a terminal, its own one where walls don't keep it; the number that the
    terminal then answers its owner."""
    master, slave = pty.openpty()
    quiet = termios.tcgetattr(slave)
    quiet[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(slave, termios.TCSANOW, quiet)
    os.fchown(slave, USER if b.who == 'user' and os.geteuid() == 0 else -1, -1)

    def control():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    try:
        r = b.python(code, stdin=slave, preexec_fn=control)
        return r, struct.unpack('i', fcntl.ioctl(slave, ask, b'\0' * 4))[0]
    finally:
        os.close(slave)
        os.close(master)


EVERY_TERMINAL = '''
import fcntl
terminals = [0, 1, 2]
try: terminals.append(os.open("/dev/tty", os.O_RDWR))
except OSError: pass
'''


@attack(weak='plain')
def types_into_the_terminal(b):
    _, waiting = on_a_terminal(b, EVERY_TERMINAL + '''
for fd in terminals:
    for request in (0x5412, 0x100005412, 0x541c):
        libc.ioctl(fd, ctypes.c_ulong(request), ctypes.create_string_buffer(b"\\3x"))
''', termios.FIONREAD)
    if waiting:
        raise Escape(f"{waiting} bytes in its caller's input")


@attack(weak='plain')
def types_into_its_own_terminal(b):
    """A shell in the job is not to be typed into either: what it holds may be its tester's."""
    none_reached(b.python('''
import fcntl, pty
master, slave = pty.openpty()
if os.fork() == 0:
    os.setsid()
    fcntl.ioctl(slave, 0x540e, 0)
    attack("TIOCSTI", lambda: libc.ioctl(slave, 0x5412, b"x") == 0)
    attack("TIOCSTI", lambda: libc.ioctl(slave, ctypes.c_ulong(0x100005412), b"x") == 0)
    sys.stdout.flush()
    os._exit(0)
assert os.wait()[1] == 0
'''))


@attack(weak='plain')
def changes_the_line_discipline(b):
    _, discipline = on_a_terminal(b, EVERY_TERMINAL + '''
for fd in terminals: libc.ioctl(fd, 0x5423, ctypes.byref(ctypes.c_int(27)))
''')
    if discipline:
        raise Escape(f"its caller's terminal has discipline {discipline}")


@attack(weak='plain')
def has_a_terminal(b):
    none_reached(on_a_terminal(b, '''
attack("/dev/tty", lambda: os.open("/dev/tty", os.O_RDWR))
for fd in range(3):
    attack("tty on %d" % fd, lambda: os.ttyname(fd))
''')[0])


@attack(weak='plain')
def makes_data_executable_by_personality(b):
    none_reached(b.python('attack("personality", lambda: call(135, 0x0400000))'))


@attack(weak='plain', weak_user='root')
def regains_privileges(b):
    none_reached(b.python('''
attack("setuid", lambda: os.setuid(0) or 1)
attack("setgid", lambda: os.setgid(0) or 1)
attack("setgroups", lambda: os.setgroups([0]) or 1)
attack("keepcaps", lambda: libc.prctl(8, 1, 0, 0, 0) == 0)
attack("ambient", lambda: libc.prctl(47, 2, 21, 0, 0) == 0)
attack("chown", lambda: os.chown(".", 0, 0) or 1)
attack("nice", lambda: os.nice(-5))
attack("oom_score_adj", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-900"))
for line in open("/proc/self/status"):
    if line.startswith("Cap") and int(line.split()[1], 16): print("REACHED", line)
'''))


@attack(weak='plain')
def raises_its_limits(b):
    """By what the kernel says outside of the limits that its process has in the end."""
    raising = '''
import struct
for which, limit in ((7, 65), (4, 1)):
    call(302, 0, which, struct.pack("QQ", limit, limit), None)
'''
    with b.held('' if b.weak else raising, '--files', '64') as pids:
        with open(f'/proc/{pids[0]}/limits') as f:
            limits = f.read()
    for name, most in (('open files', 64), ('core file size', 0)):
        hard = re.search(rf'^Max {name} +\S+ +(\S+)', limits, re.M)[1]
        if hard == 'unlimited' or int(hard) > most:
            raise Escape(f'{hard} {name}')


@attack(weak='plain')
def dumps_core(b):
    if b.weak:
        with open('/proc/sys/kernel/core_pattern') as f:
            if f.read()[0] in '|/':
                raise Skip('this host keeps core files elsewhere')
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
            raise Skip('this test may not make core files')
    b.run('ulimit -c unlimited; sh -c "kill -SEGV \\$\\$"')
    if any('core' in name for name in os.listdir(b.tree)):
        raise Escape('a core file')


# --- other processes, other jobs --------------------------------------------------------------


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


def was_reached(listener):
    listener.settimeout(0)
    try:
        listener.accept()[0].close()
        return True
    except BlockingIOError:
        return False


# --- the network ------------------------------------------------------------------------------


def listening(family, address):
    s = socket.socket(family)
    s.bind(address)
    s.listen()
    return s


@attack(weak=['--network', 'host'])
def reaches_a_listener_on_loopback(b):
    with listening(socket.AF_INET, ('127.0.0.1', 0)) as s:
        b.python(f'attack("", lambda: socket.create_connection({s.getsockname()}, 2))')
        if was_reached(s):
            raise Escape('a listener on the loopback')


def in_own_network(function):
    """Runs it in a network namespace in which the metadata service's address is at hand."""
    if os.geteuid() != 0:
        raise Skip('a network of its own needs root')

    def inside():
        if ctypes.CDLL(None).unshare(0x40000000):
            raise Skip('no network namespaces')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 1))
            fcntl.ioctl(s, 0x8916, struct.pack('16sHH4s8x', b'lo:1', socket.AF_INET, 0,
                                               socket.inet_aton(METADATA)))
        function()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(inside).result()


METADATA = '169.254.169.254'


LANDLOCK_WITH_SCOPES = 6


def landlock_version(b):
    told = subprocess.run([b.program, '--check'], stdout=subprocess.PIPE).stdout.decode()
    found = re.search(r'Landlock, version (\d+)', told)
    return int(found[1]) if found else 0


@attack(weak='plain')
def reaches_an_abstract_socket(b):
    name = '\0cupel-hostile-' + b.secret
    with listening(socket.AF_UNIX, name):
        for options in ([], ['--network', 'host']):
            if options and b.weak:
                continue
            if options and landlock_version(b) < LANDLOCK_WITH_SCOPES:
                continue
            none_reached(b.python(f'''
s = socket.socket(socket.AF_UNIX)
attack("abstract socket", lambda: s.connect({name!r}) or 1)''', *options))


@attack(weak=['--network', 'host'])
def reaches_the_metadata_service(b):
    def inside():
        with listening(socket.AF_INET, (METADATA, 80)) as s:
            none_reached(b.python(f'''
attack("", lambda: socket.create_connection(("{METADATA}", 80), 1) and None)
attack("route", lambda: len(open("/proc/net/route").readlines()) > 1)
'''))
            if was_reached(s):
                raise Escape('the metadata service')
    in_own_network(inside)


@attack(weak='plain', weak_user='root')
def spoofs_with_raw_sockets(b):
    """In a network of its own, since without walls it takes the loopback down."""
    in_own_network(lambda: none_reached(b.python('''
attack("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
import fcntl, struct
s = socket.socket()
attack("interface", lambda: fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0)) and 1)
''')))


# --- resources --------------------------------------------------------------------------------


def ends_as(result, verdict, limit):
    if result.report.get('verdict') != verdict or result.report.get('limit') != limit:
        raise Escape(f"verdict {result.report.get('verdict')}, limit {result.report.get('limit')}")


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


# --- nested -----------------------------------------------------------------------------------


@attack(never="what it reaches for is this host's")
def climbs_out_of_a_nested_namespace(b):
    r = b.run(f'''unshare -Urmpf --mount-proc sh -c '
mount -t tmpfs x /tmp && echo mounted
mount -o remount,rw / 2>/dev/null && touch /x && echo REACHED root
mount --bind /proc/sys /tmp && echo h > /tmp/kernel/core_pattern && echo REACHED core_pattern
cat {b.secret_file}; mknod /tmp/d b 254 0 && head -c 1 /tmp/d && echo REACHED device; true' 2>&1''',
              '--profile', 'nested')
    none_reached(r)
    not_shown(b, r)
    if 'mounted' not in r.out:
        raise Broken('the nested profile does not work: ' + r.all)


@attack(never="the agent would be this host's")
def mounts_a_cgroup_to_become_a_release_agent(b):
    def agents():
        found = {}
        for path in glob.glob('/sys/fs/cgroup/*/release_agent'):
            with open(path) as f:
                found[path] = f.read()
        return found
    before = agents()
    none_reached(b.limited('''for new in -UrmC -Urm; do unshare $new sh -c 'cd /tmp; mkdir -p c d
mount -t cgroup -o memory x c && {
    echo /tmp/x > c/release_agent && echo REACHED release_agent
    echo -1 > c/memory.memsw.limit_in_bytes; echo -1 > c/memory.limit_in_bytes && echo REACHED limit
    mkdir c/sub; }
mount -t cgroup2 x d && { echo max > d/memory.max && echo REACHED limit; mkdir d/sub; }'
done''', '--profile', 'nested', '--memory', '64M'))
    if agents() != before:
        raise Escape('a release agent')


@attack(weak=WITHOUT)
def lifts_its_own_limits(b):
    """A user's groups are his own, and so the job's: no namespace inside may reach them, and what it
    makes there doesn't stay (or the groups could not be removed behind it)."""
    ends_as(b.limited('''unshare -UrmC sh -c 'mkdir /tmp/m /tmp/p /tmp/u
mount -t cgroup -o memory x /tmp/m; echo -1 > /tmp/m/memory.memsw.limit_in_bytes
echo -1 > /tmp/m/memory.limit_in_bytes; mkdir -p /tmp/m/sub
mount -t cgroup -o pids x /tmp/p; echo max > /tmp/p/pids.max; mkdir -p /tmp/p/sub
mount -t cgroup2 x /tmp/u; echo max > /tmp/u/memory.max; mkdir -p /tmp/u/sub/deep
echo 0 > /tmp/u/sub/deep/cgroup.procs' 2> /dev/null
python3 -c 'x = b"x" * (96 << 20)'; true''', '--profile', 'nested', '--memory', '64M',
            cut=True), 'killed', 'memory')


@attack(weak=WITHOUT)
def freezes_itself(b):
    """Who froze himself still meets his end."""
    ends_as(b.limited('''unshare -UrmC sh -c 'mount -t cgroup2 x /tmp && echo 1 > /tmp/cgroup.freeze'
sleep 0.7''', '--profile', 'nested', '--wall', '300ms', '--cpu-time', '10s', cut=True),
            'timed_out', 'wall')
