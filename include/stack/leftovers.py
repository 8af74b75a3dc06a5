"""Processes that a killed stack left behind: they carry its mark and belong to no service that runs."""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil

from stack.config import StackConfig
from stack.errors import StackError
from stack.process import end, mark_of, recorded
from stack.record import is_alive


def end_leftovers(config: StackConfig) -> int:
    """End every process of this stack that belongs to no running service; return how many there were."""
    found = find_leftovers(config)
    if survivors := end(found):
        raise StackError(f"{len(survivors)} processes of a killed stack outlive SIGKILL, first pid {survivors[0].pid}.")
    return len(found)


def find_leftovers(config: StackConfig) -> list[psutil.Process]:
    """Return what was started with this stack's folder and mark, without this process, its parents and the running services."""
    records = (recorded(config, path.stem) for path in config.run.glob("*.json"))
    leaders = {leader.pid for record in records if record and (leader := record.process())}
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and mark_of(config, process) and not _is_of(leaders, process) and is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue  # gone meanwhile, or of another user
    return found


def _is_of(leaders: Collection[int], process: psutil.Process) -> bool:
    line = {process.pid, os.getsid(process.pid), *(parent.pid for parent in process.parents())}
    return not line.isdisjoint(leaders)
