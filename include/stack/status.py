"""The current state of each service."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from stack.config import StackConfig
from stack.plan import Part
from stack.process import recorded


@dataclass(frozen=True, slots=True)
class State:
    """The state of one service: ready, starting (alive, but does not answer), crashed (ended by itself) or down."""

    name: str
    state: str
    pid: int | None = None
    ports: tuple[int, ...] = ()
    memory_mb: int | None = None
    up_seconds: int | None = None


def look(config: StackConfig, parts: Sequence[Part]) -> list[State]:
    """Return the state of every service, in the order of the parts."""
    return [_state(config, part) for part in parts if part.service]


def _state(config: StackConfig, part: Part) -> State:
    record, service = recorded(config, part.name), part.service
    ports = service.ports[:1] if service else ()
    if record is None or service is None:
        return State(part.name, "down", ports=ports)
    process = record.process()
    if process is None:
        return State(part.name, "crashed", ports=ports)
    state = "ready" if service.is_ready() else "starting"
    return State(part.name, state, record.pid, ports, _memory_mb(process), int(time.time() - record.created))


def _memory_mb(leader: psutil.Process) -> int:
    """Sum the unshared memory of the process and its children. Pages that forks share count at most once."""
    total = 0
    for process in [leader, *leader.children(recursive=True)]:
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue  # it has ended, or belongs to another user
    return total // 2**20
