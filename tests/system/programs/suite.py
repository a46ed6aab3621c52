"""A unit test suite as a Python project has one: databases, processes, terminals, sockets, files."""
import asyncio
import multiprocessing
import os
import pty
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest
from multiprocessing import shared_memory

SECONDS = 20
PROCESSES = 300
FILES = 2000


def square(number):
    return number * number


def read_all(descriptor):
    """Until the other end of the terminal is closed."""
    data = b""
    try:
        while part := os.read(descriptor, 4096):
            data += part
    except OSError:
        pass
    return data


def serve_once(server):
    peer, _ = server.accept()
    with peer:
        peer.sendall(peer.recv(100).upper())


class Processes(unittest.TestCase):
    def test_a_pool_of_processes(self):
        with multiprocessing.Pool(4) as pool:
            self.assertEqual(pool.map(square, range(50)), [n * n for n in range(50)])

    def test_spawned_ones_share_a_queue_and_a_lock(self):
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        child = context.Process(target=queue.put, args=("hello",))
        child.start()
        self.assertEqual(queue.get(timeout=SECONDS), "hello")
        child.join(SECONDS)
        self.assertEqual(child.exitcode, 0)

    def test_shared_memory(self):
        memory = shared_memory.SharedMemory(create=True, size=100000)
        memory.buf[99999] = 9
        memory.close()
        memory.unlink()


class Crowd(unittest.TestCase):
    def test_many_at_once(self):
        children = [subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        said = [child.communicate(b"%d" % number)[0] for number, child in enumerate(children)]
        self.assertEqual(said, [b"%d" % number for number in range(PROCESSES)])


class Files(unittest.TestCase):
    def test_a_database_with_a_journal_and_readers(self):
        with tempfile.TemporaryDirectory() as folder:
            one = sqlite3.connect(f"{folder}/db")
            self.assertEqual(one.execute("PRAGMA journal_mode=WAL").fetchone()[0], "wal")
            one.execute("CREATE TABLE t (n INTEGER)")
            one.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(1000)])
            one.commit()
            other = sqlite3.connect(f"{folder}/db")
            self.assertEqual(other.execute("SELECT count(*) FROM t").fetchone()[0], 1000)
            other.close()
            one.close()

    def test_many_and_links(self):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            for number in range(FILES):
                with open(f"{folder}/{number}", "w") as file:
                    file.write("x")
            self.assertEqual(len(os.listdir(folder)), FILES)
            os.link(f"{folder}/1", f"{folder}/hard")
            os.symlink("1", f"{folder}/soft")
            self.assertEqual(os.stat(f"{folder}/1").st_nlink, 2)
            self.assertTrue(os.path.samefile(f"{folder}/hard", f"{folder}/soft"))
            os.rename(f"{folder}/hard", f"{folder}/2")
            os.mkfifo(f"{folder}/pipe")

    def test_times_and_modes(self):
        with tempfile.NamedTemporaryFile(dir=".") as file:
            os.chmod(file.name, 0o751)
            os.utime(file.name, (1000, 2000))
            status = os.stat(file.name)
            self.assertEqual((status.st_mode & 0o7777, status.st_mtime), (0o751, 2000))
            self.assertEqual(status.st_uid, os.getuid())

    def test_what_the_owner_of_a_build_has(self):
        import pwd
        me = pwd.getpwuid(os.getuid())
        self.assertEqual((me.pw_name, me.pw_dir), ("job", os.environ["HOME"]))
        self.assertTrue(os.access(me.pw_dir, os.W_OK))


class Terminals(unittest.TestCase):
    def test_openpty(self):
        ours, theirs = pty.openpty()
        self.assertTrue(os.isatty(theirs))
        self.assertTrue(os.ttyname(theirs).startswith("/dev/pts/"))
        os.write(theirs, b"hello\n")
        self.assertEqual(os.read(ours, 100), b"hello\r\n")

    def test_a_child_that_is_controlled_by_one(self):
        child, terminal = pty.fork()
        if child == 0:
            os.execvp("sh", ["sh", "-c", "tty && echo typed > /dev/tty && stty size && kill -INT $$"])
        said = read_all(terminal)
        _, status = os.waitpid(child, 0)
        self.assertIn(b"typed", said)
        self.assertIn(b"/dev/pts/", said)
        self.assertEqual(os.WTERMSIG(status), 2)

    def test_spawn(self):
        done = subprocess.run([sys.executable, "-c", "import pty; pty.spawn(['tty'])"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=SECONDS)
        self.assertIn(b"/dev/pts/", done.stdout)


class Sockets(unittest.TestCase):
    def talk(self, family, address):
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind(address)
            server.listen()
            thread = threading.Thread(target=serve_once, args=(server,))
            thread.start()
            client.settimeout(SECONDS)
            client.connect(server.getsockname())
            client.sendall(b"hello")
            self.assertEqual(client.recv(100), b"HELLO")
            thread.join(SECONDS)

    def test_tcp(self):
        self.talk(socket.AF_INET, ("127.0.0.1", 0))

    def test_tcp_by_name(self):
        self.assertEqual(socket.gethostbyname("localhost"), "127.0.0.1")
        self.talk(socket.AF_INET, ("localhost", 0))
        socket.getaddrinfo(socket.gethostname(), 80)

    def test_tcp_over_ipv6(self):
        self.talk(socket.AF_INET6, ("::1", 0))

    def test_unix(self):
        with tempfile.TemporaryDirectory() as folder:
            self.talk(socket.AF_UNIX, f"{folder}/socket")
        self.talk(socket.AF_UNIX, "listening")
        os.unlink("listening")

    def test_unix_abstract(self):
        self.talk(socket.AF_UNIX, "\0cupel-test")

    def test_udp(self):
        for family, host in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
            with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
                one.bind((host, 0))
                one.settimeout(SECONDS)
                other.sendto(b"hello", one.getsockname())
                self.assertEqual(one.recv(100), b"hello")

    def test_descriptors_over_a_socket(self):
        one, other = socket.socketpair()
        with one, other, open("/etc/hostname") as file:
            socket.send_fds(one, [b"x"], [file.fileno()])
            _, descriptors, _, _ = socket.recv_fds(other, 10, 1)
            self.assertTrue(os.path.samestat(os.fstat(descriptors[0]), os.fstat(file.fileno())))
            os.close(descriptors[0])

    def test_asyncio(self):
        async def hello():
            async def answer(reader, writer):
                writer.write(await reader.readline())
                writer.close()
            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            line = await reader.readline()
            server.close()
            child = await asyncio.create_subprocess_exec("true")
            return line, await child.wait()
        self.assertEqual(asyncio.run(asyncio.wait_for(hello(), SECONDS)), (b"hello\n", 0))


if __name__ == "__main__":
    unittest.main()
