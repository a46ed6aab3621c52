"""Attacks by /proc: its knobs, its links, what stands over it."""
import contextlib
import os

from attacks import attack
from bench import Broken, Escape, none_reached, not_shown

KNOBS = ['sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hostname',
         'sys/kernel/sysrq', 'sys/vm/overcommit_memory', 'sys/vm/drop_caches',
         'sys/fs/binfmt_misc/register', 'sysrq-trigger', 'irq/default_smp_affinity']


def knobs():
    """What those of the host that can be read say."""
    said = {}
    for name in KNOBS:
        with contextlib.suppress(OSError), open(f'/proc/{name}') as f:
            said[name] = f.read()
    return said


@attack(weak='plain', weak_user='root')
def turns_the_kernel_s_knobs(b):
    """By each way to them, and as root of namespaces of its own. To open them for writing is enough
    to have reached them, and turns none of those of this host when weakened."""
    touch = f'''for p in /proc /proc/self/root/proc /proc/1/root/proc /proc/self/cwd/../proc; do
    for k in {' '.join(KNOBS)}; do (: >> $p/$k) 2>/dev/null && echo REACHED $p/$k; done
done'''
    before = knobs()
    for inside, profile in (('', 'ci'), ('unshare -Urm', 'nested'),
                            ('unshare -Urmpf --mount-proc', 'nested')):
        r = b.run(f"{inside} sh -c '{touch}\necho tried'", '--profile', profile)
        none_reached(r)
        if 'tried' not in r.out:
            raise Broken(r.err)
    if knobs() != before:
        raise Escape('a knob of the host')


@attack(weak='plain')
def leaves_by_links_of_proc(b):
    """The root, the directory and the descriptors of processes; its caller left it some."""
    fd = os.open(b.outside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        r = b.run(f'''for p in /proc/self /proc/thread-self /proc/1 /proc/$PPID; do
    cat $p/root{b.secret_file} $p/cwd/../outside/secret $p/fd/*/secret
    for d in $p/root{b.outside} $p/cwd/../outside $p/fd/*; do echo x > $d/new; done
done''', stdin=fd, pass_fds=(fd,))
    finally:
        os.close(fd)
    not_shown(b, r)
    if os.path.exists(b.outside + '/new'):
        raise Escape('a file outside')


FILES = 'comm oom_score_adj uid_map gid_map setgroups attr/current attr/exec timens_offsets'


@attack(weak=[])
def turns_what_is_written_by_proc(b):
    """Files of its own over those that a supervisor may write, as of who enters a container."""
    trap = os.path.join(b.tree, 'trap')
    b.write(trap, '', 0o666)
    b.write(os.path.join(b.tree, 'turn'), f'''
for f in {FILES}; do for p in 1 $$ self; do
    mount --bind trap /proc/$p/$f && echo turned
done; done
{'true' if b.weak is None else 'echo 7 > /proc/self/comm'}''')
    r = b.run('unshare -Urm sh turn', '--profile', 'nested')
    if r.out.count('turned') < 8:
        raise Broken(r.err)
    with open(trap) as f:
        if f.read():
            raise Escape('what was written to /proc')


def unmasked(pid):
    """The files and directories of the host's /proc that this process finds as they are there, or
    may write to, and its /dev/null, where that is none."""
    root = f'/proc/{pid}/root'
    found = [name for name in ('sys', 'bus', 'fs', 'irq') if os.path.exists('/proc/' + name)
             and not os.statvfs(f'{root}/proc/{name}').f_flag & os.ST_RDONLY]
    for name in ('proc/kcore', 'proc/keys', 'proc/kmsg', 'proc/sysrq-trigger', 'proc/timer_list',
                 'dev/null'):
        if os.path.exists('/' + name) and os.lstat(f'{root}/{name}').st_rdev != os.makedev(1, 3):
            found.append(name)
    return found


@attack(weak=['--profile', 'nested'])
def prepares_the_masks_of_the_next_job(b):
    """Where the next one's devices, masks and mounts shall stand, a job left links in a tree that
    is its root, and in its worktree. Weakened: the next one has no masks."""
    before = knobs()
    b.run('''mkdir -p trap root/usr root/etc && cd root
for d in bin lib lib64; do ln -s /opt/usr/$d usr/$d; ln -s usr/$d $d; done
mkdir dev && ln -s /proc/sys/kernel/core_pattern dev/null
ln -s /build/trap proc; ln -s /build/trap sys; ln -s /proc/self/fd build
ln -s ../proc/sys/kernel/core_pattern etc/passwd; ln -s ../dev/null etc/hosts
cd .. && ln -s /proc/1 absolute; ln -s ../proc relative; ln -s /proc/self/root magic''')
    with b.held('', '--root', b.tree + '/root', '--bind', '/usr:/opt/usr') as pids:
        for name in unmasked(pids[0]):
            raise Escape(name)
    for place in ('absolute/attr', 'relative/sys', 'magic/proc/sys'):
        not_shown(b, b.run('cat /proc/sys/secret /proc/1/attr/secret; test -e /proc/sys/kernel',
                           '--bind', f'{b.outside}:/build/{place}', may_refuse=True))
    if os.listdir(b.tree + '/trap') or knobs() != before:
        raise Escape('what the links lead to')
