"""The record of a process that the embedded stack started."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Record:
    """The stored facts of a started process. The start time distinguishes it from a later process with the same number."""

    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """Return the process if it is still the recorded one and alive."""
        try:
            process = psutil.Process(self.pid)
            return process if self._is_of(process) and is_alive(process) else None
        except psutil.NoSuchProcess:
            return None

    def names_session(self, process: psutil.Process) -> bool:
        """
        Return whether a process is in the session that the recorded process leads or led.

        The kernel does not reuse the number of a session in use. If another process has the recorded number, the recorded
        session has ended. A recorded process that is dead but not reaped keeps its number.
        """
        if os.getsid(process.pid) != self.pid:
            return False
        try:
            return self._is_of(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return True

    def _is_of(self, process: psutil.Process) -> bool:
        return bool(abs(process.create_time() - self.created) < 2.0)


def read_record(path: Path) -> Record:
    """Return the record that a file holds."""
    return Record(**json.loads(path.read_text(encoding="utf-8")))


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
