"""Attacks on and through the network."""
import concurrent.futures
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

from attacks import attack, was_reached
from bench import Escape, Skip, none_reached


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
