"""Attacks on the kernel's doors: calls, namespaces, devices, terminals, knobs."""
import ctypes
import fcntl
import os
import pty
import re
import resource
import struct
import subprocess
import termios

from attacks import attack, wait_until
from bench import Broken, Escape, Skip, USER, none_reached


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
for which, limit in ((7, 65), (4, 4096)):
    call(302, 0, which, struct.pack("QQ", limit, limit), None)
'''
    with b.held('' if b.weak else raising, '--files', '64') as pids:
        with open(f'/proc/{pids[0]}/limits') as f:
            limits = f.read()
    for name, most in (('open files', 64), ('core file size', 1)):
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


CORES = os.environ.get('CUPEL_CORES')  # where a program of the tests, named by core_pattern, puts a file for each core


@attack(weak='plain')
def wakes_the_program_for_cores(b):
    """Which runs as the host's root, outside of all limits, whatever the limit of cores is, but 1."""
    if not CORES:
        raise Skip("this host's core_pattern is not for tests to change")
    for limit in ('0', '8', 'unlimited') if b.weak is None else ('0',):
        name = f'{limit[0]}{b.secret[:8]}'
        script = f'ulimit -c {limit}; sh -c "printf {name} >/proc/self/comm; kill -SEGV \\$\\$"'
        b.run(script)
        subprocess.run(['sh', '-c', f'printf x{name} >/proc/self/comm; kill -SEGV $$'], check=False)
        if not wait_until(lambda: os.path.exists(f'{CORES}/x{name}')):
            raise Broken('no core woke it')
        if os.path.exists(f'{CORES}/{name}'):
            raise Escape('a program outside')
