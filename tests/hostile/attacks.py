"""What the attacks share. Each is a function of a Bench that raises Escape when it got through; they stand by
class in the files beside this one, which fill CASES."""
import contextlib
import os
import subprocess
import time

from bench import Broken, Escape, not_shown, processes


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


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def nothing_lives(marker, when='after the verdict', seconds=0):
    """Raises when some process with that marker does, and ends it, unless it is gone by then."""
    if wait_until(lambda: not processes(marker), seconds):
        return
    for pid in processes(marker):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    raise Escape(f'a process {when}')


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


def was_reached(listener):
    listener.settimeout(0)
    try:
        listener.accept()[0].close()
        return True
    except BlockingIOError:
        return False


def ends_as(result, verdict, limit):
    if result.report.get('verdict') != verdict or result.report.get('limit') != limit:
        raise Escape(f"verdict {result.report.get('verdict')}, limit {result.report.get('limit')}")
