"""The memory that this process may take: that of the machine, or the limit that the kernel keeps by its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_UNLIMITED = 2**60  # cgroup v1 writes a number near 2**63 where there is no limit


def find_memory() -> int:
    """Return the bytes of memory that this process may take."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, find_limit() or machine)


def find_limit(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int | None:
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
