"""What is known of a started process."""

from __future__ import annotations

import os
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
            return process if self._is_of(process) and is_alive(process) else None
        except psutil.NoSuchProcess:
            return None

    def names_session(self, process: psutil.Process) -> bool:
        """
        Tell whether a process is in the session that the recorded one leads or led.

        A number of a session in use is not given to a new process. When a process has it that is not the recorded one, that
        session has ended. A recorded one that is dead and not reaped yet keeps its number.
        """
        if os.getsid(process.pid) != self.pid:
            return False
        try:
            return self._is_of(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return True

    def _is_of(self, process: psutil.Process) -> bool:
        return bool(abs(process.create_time() - self.created) < 2.0)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that nobody has reaped yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
