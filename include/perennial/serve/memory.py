"""The memory of the server: the limit that it must keep, and the memory that one request takes."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from perennial.store.cgroups import CGROUPS, MEMBERSHIP, find_limit

DEFAULT_MEMORY = 512 * 2**20
"""Without a setting, a server takes no more, however much its cgroup allows: other processes may share that."""

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2

_PUNCTUATION = b"[{,:"
_MARK_BYTES = 120
"""Upper bound of the memory that one of these marks adds, in CPython 3.11: an object, and its place in another one."""

MAX_GROWTH = 64
"""No body takes more than this times its own size. Lists in lists take 45 times theirs."""


def use_few_arenas() -> None:
    """Keep glibc from a heap for each thread: such heaps hold on to the memory of large requests."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have no such heaps
        mallopt(_M_ARENA_MAX, _ARENAS)


def find_memory(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the memory, in bytes, that a server without a setting keeps to."""
    return min(DEFAULT_MEMORY, find_limit(cgroups, membership) or DEFAULT_MEMORY)


def needed_memory(body: bytes) -> int:
    """Return an upper bound of the bytes that it takes to parse and answer a body, from its size and its punctuation."""
    text = body.decode("utf-8", "replace")
    characters = sys.getsizeof(text)
    # An escape makes a wide character of narrow ones, and one wide character makes its whole text wide.
    values = 4 * len(text) if b"\\" in body else characters
    marks = len(body) - len(body.translate(None, _PUNCTUATION))
    return characters + values + _MARK_BYTES * marks
