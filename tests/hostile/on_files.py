"""Attacks on files: beside the worktree, on the host, through links, binds and reports."""
import hashlib
import os
import shutil
import subprocess

from attacks import attack, exchanging, while_turning
from bench import Broken, Escape, Skip, none_reached, not_shown


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
