"""Real forks of real processes: what the kernel does to them when their parent is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from perennial.runtime.process_record import is_alive

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to the forks of a dead parent is Linux's")

FAMILY = """
import os, sys, time
from stack.bound_forks import bind_forks
bind_forks(generations=int(sys.argv[1]))
def say():
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)
if os.fork() == 0:
    if os.fork() == 0:
        if os.fork() == 0:
            say()
        say()
    say()
time.sleep(600)
"""

INHERITED = """
import ctypes, os, socket, sys, time
from stack.bound_forks import bind_forks
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
here, there = socket.socketpair()
bind_forks()
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 0)  # lives on, as it would where the kernel has no such signal
    there.send(b"the fork's own socket works")
    time.sleep(600)
print(here.recv(100).decode(), flush=True)
time.sleep(600)
"""


@contextmanager
def started(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(what) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


@LINUX_ONLY
@pytest.mark.parametrize(("generations", "survivors"), [(1, 2), (2, 1)], ids=["forks", "forks-of-forks"])
def test_forks_end_with_a_killed_parent(generations: int, survivors: int) -> None:
    with started(FAMILY, str(generations)) as parent:
        assert parent.stdout is not None
        forks = [psutil.Process(int(parent.stdout.readline())) for _ in range(3)]
        assert all(map(is_alive, forks))
        parent.kill()
        assert wait_for(lambda: sum(map(is_alive, forks)) == survivors)
        time.sleep(0.1)
        assert sum(map(is_alive, forks)) == survivors


def test_a_connection_of_the_parent_ends_with_it_though_its_fork_lives() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, started(INHERITED, str(listening.getsockname()[1])) as parent:
        connection, _ = listening.accept()
        with connection:
            assert parent.stdout is not None
            assert parent.stdout.readline().strip() == "the fork's own socket works"
            (fork,) = psutil.Process(parent.pid).children()
            parent.kill()
            connection.settimeout(10)
            assert connection.recv(1) == b""  # the kernel has closed it
            assert is_alive(fork)
