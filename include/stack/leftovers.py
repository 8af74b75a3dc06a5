"""Processes that a killed stack left behind: they have its mark and belong to no running service."""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil

from perennial.runtime.process_record import is_alive
from stack.config import StackConfig
from stack.errors import StackError
from stack.process import end, mark_of, recorded


def end_leftovers(config: StackConfig) -> int:
    """End every process of this stack that belongs to no running service. Return their number."""
    leftovers = find_leftovers(config)
    if survivors := end(leftovers):
        raise StackError(
            f"{len(survivors)} processes of a killed stack have not ended after SIGKILL, first pid {survivors[0].pid}."
        )
    return len(leftovers)


def find_leftovers(config: StackConfig) -> list[psutil.Process]:
    """Return the processes with this stack's folder and mark, except this process, its parents and the running services."""
    records = (recorded(config, path.stem) for path in config.run.glob("*.json"))
    leaders = {leader.pid for record in records if record and (leader := record.process())}
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    leftovers = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and mark_of(config, process) and not _is_of(leaders, process) and is_alive(process):
                leftovers.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue  # it has ended, or belongs to another user
    return leftovers


def _is_of(leaders: Collection[int], process: psutil.Process) -> bool:
    line = {process.pid, os.getsid(process.pid), *(parent.pid for parent in process.parents())}
    return not line.isdisjoint(leaders)
