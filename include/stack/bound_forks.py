"""
Forks that end with their parent and hold none of its connections.

A killed process cannot clean up. Its forks would keep running and keep its connections open. For PostgreSQL its transaction
would still be alive, with its row locks.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import stat
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OPEN_FILES = Path("/proc/self/fd")

_generations = 0
_parent = 0
_is_registered = False


def bind_forks(generations: int = 1) -> None:
    """
    Bind every later fork of this process to it.

    A fork is killed when the thread that forked it ends, so fork from the main thread.

    :param generations: 2 binds the forks of the forks as well
    """
    global _generations, _parent, _is_registered
    _generations, _parent = generations, os.getpid()
    if not _is_registered:
        os.register_at_fork(after_in_child=_begin)
        _is_registered = True


def _begin() -> None:
    global _generations, _parent
    if not _generations:
        return  # a fork beyond the last bound generation, such as a child of a task, is not bound
    parent, _parent, _generations = _parent, os.getpid(), _generations - 1
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before prctl took effect
            os._exit(1)
    _drop_connections()


def _drop_connections() -> None:
    """Replace inherited TCP sockets by /dev/null. A library that closes one later cannot send anything to its peer."""
    if not OPEN_FILES.is_dir():
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir(OPEN_FILES):
        if _is_connection(int(name)):
            os.dup2(nothing, int(name), inheritable=False)
    os.close(nothing)


def _is_connection(number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        with socket.socket(fileno=os.dup(number)) as inherited:
            return inherited.family in (socket.AF_INET, socket.AF_INET6) and inherited.type == socket.SOCK_STREAM
    except OSError:
        return False  # the descriptor of the listing itself, closed since
