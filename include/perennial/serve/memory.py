"""The memory of the server: the limit that it must keep, and the memory that one request takes."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

DEFAULT_MEMORY = 512 * 2**20
"""Without a setting, a server takes no more, however much its cgroup allows: other processes may share that."""

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2
_UNLIMITED = 2**60  # cgroup v1 writes a number near 2**63 where there is no limit

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


def find_memory(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Return the memory, in bytes, that a server without a setting keeps to."""
    return min(DEFAULT_MEMORY, find_limit(cgroups, membership) or DEFAULT_MEMORY)


def find_limit(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """Return the lowest memory limit, in bytes, of the cgroups that this process is in, or None without a limit."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.is_file() else []
    limits = [limit for line in lines for limit in _limits_of(cgroups, *line.split(":", 2)[1:])]
    return min(limits, default=None)


def _limits_of(cgroups: Path, controllers: str, path: str) -> Iterator[int]:
    """Yield the memory limits of one hierarchy: of this process's group and of those above it."""
    if controllers == "":
        root, name = cgroups, "memory.max"  # version 2
    elif "memory" in controllers.split(","):
        root, name = cgroups / "memory", "memory.limit_in_bytes"
    else:
        return
    # In a container the path may be that of the host, which does not exist here. Its own group is then the root.
    group = root / path.lstrip("/")
    for folder in [group, *group.parents]:
        file = folder / name
        if file.is_file() and (text := file.read_text(encoding="utf-8").strip()).isdigit() and int(text) < _UNLIMITED:
            yield int(text)
        if folder == root:
            return


def needed_memory(body: bytes) -> int:
    """Return an upper bound of the bytes that it takes to parse and answer a body, from its size and its punctuation."""
    text = body.decode("utf-8", "replace")
    characters = sys.getsizeof(text)
    # An escape makes a wide character of narrow ones, and one wide character makes its whole text wide.
    values = 4 * len(text) if b"\\" in body else characters
    marks = len(body) - len(body.translate(None, _PUNCTUATION))
    return characters + values + _MARK_BYTES * marks
