"""One command at a time starts or stops a stack: two at once would start every service twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stack.config import StackConfig

LOCK = "lock"
"""Name of the file; it is never removed, since others may wait for it."""


@contextmanager
def alone(config: StackConfig, on_wait: Callable[[str], object]) -> Iterator[None]:
    """
    Hold the stack's lock, which goes with the process, however that ends; without a folder there is no stack to be alone with.

    :param on_wait: told who holds it, when another command does
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
