"""Attacks by jobs that may make namespaces of their own."""
import glob
import os

from attacks import attack, ends_as
from bench import Broken, Escape, WITHOUT, none_reached, not_shown


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


@attack(who='root', weak='plain')
def leaves_a_file_with_capabilities(b):
    """Root of a namespace inside may give them to what belongs to him: on the host they are root's."""
    full = bytes.fromhex('0100000206000000000000000000000000000000')
    b.python(f'''
import shutil
shutil.copy("/bin/true", "a")
fd = os.open("a", os.O_RDONLY)
value, name = ctypes.create_string_buffer({full!r}, {len(full)}), b"security.capability"
for f in (lambda: os.setxattr("a", name, value), lambda: os.setxattr(fd, name, value),
          lambda: os.setxattr("a", name, value, follow_symlinks=False)):
    attack("x", f)
''', '--profile', 'nested', prefix=('unshare', '-Ur'))
    for name in os.listdir(b.tree):
        if 'security.capability' in os.listxattr(b.tree + '/' + name):
            raise Escape('capabilities of ' + name)


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
