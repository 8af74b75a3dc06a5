"""What is known of a started process."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down about a started process; the start time tells it from a later one with the same number."""

    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """Return the process when it is still that one and alive."""
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.created) < 2.0 and is_alive(process) else None
        except psutil.NoSuchProcess:
            return None


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that nobody has reaped yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
