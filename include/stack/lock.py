"""The lock of a stack. Only one command at a time may start or stop it: two at once would start every service twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stack.config import StackConfig

LOCK = "lock"
"""Name of the lock file. It is never removed, because other commands may be waiting for it."""


@contextmanager
def alone(config: StackConfig, on_wait: Callable[[str], object]) -> Iterator[None]:
    """
    Hold the stack's lock. The kernel releases it when the process ends, however it ends. Without a folder
    there is no stack, and nothing to lock.

    :param on_wait: called with the holder of the lock, if another command holds it
    """
    if not config.var.exists():
        yield
        return
    with (config.var / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            on_wait(file.read().strip() or "another command")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
