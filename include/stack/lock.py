"""The lock of a stack. Only one command at a time may start or stop it: two at once would start every service twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from stack.config import StackConfig
from stack.files import PRIVATE, open_regular

LOCK = "lock"
"""Name of the lock file. It is never removed, because other commands may be waiting for it."""


@contextmanager
def alone(config: StackConfig, on_wait: Callable[[str], object]) -> Iterator[None]:
    """
    Hold the stack's lock. The kernel releases it when the process ends, however it ends. Without a folder
    there is no stack, and nothing to lock.

    :param on_wait: called with the holder of the lock, if another process holds it
    """
    if not config.var.exists():
        yield
        return
    with os.fdopen(open_regular(config.var / LOCK, os.O_RDWR | os.O_CREAT), "r+", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PRIVATE)  # a user who can open it can hold it, and earlier versions let all users
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait(_holder(os.fstat(file.fileno())) or file.read().strip() or "another command")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


def _holder(file: os.stat_result) -> str | None:
    """Return the process that holds the lock of a file as the kernel knows it: the file may name an earlier one."""
    locks = Path("/proc/locks")
    name = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in locks.read_text(encoding="ascii").splitlines() if locks.exists() else ():
        match line.split():
            case [_, "FLOCK", _, _, number, place, *_] if place == name and psutil.pid_exists(int(number)):
                process = psutil.Process(int(number))
                return f"process {number} ({process.name()}, user {process.username()})"
    return None
