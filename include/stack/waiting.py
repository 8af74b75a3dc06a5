"""Waiting for a service: the wait lasts while it makes progress, and ends at once at a hopeless line in its log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MAX_SECONDS = 1200.0
"""Maximum duration of a start, even on a busy machine."""

MIN_CPU_SECONDS = 0.5
"""CPU time that counts as progress. An idle service uses less between two checks."""

CHECK_SECONDS = 2.0
"""Pause between two checks of the processes: listing them takes a few milliseconds."""

MAX_TAIL_BYTES = 200_000

HOPELESS = {
    r"No space left on device": "Free space on that disk, then run the command again.",
    r"OutOfMemoryError|Could not reserve enough space|insufficient memory for the Java Runtime": (
        "Stop other programs, or raise the memory limit of this shell or container."
    ),
}
"""Patterns of log lines which mean that any service will never be ready, each with its remedy."""


@dataclass(slots=True)
class Patience:
    """The decision how long to wait for a service, from its CPU time and log. All times are in seconds of one clock."""

    quiet_seconds: float
    begin: float
    progress: float = 0.0
    cpu_seconds: float = 0.0
    log_bytes: int = 0

    def __post_init__(self) -> None:
        self.progress = self.begin

    def problem(self, now: float, cpu_seconds: float, log_bytes: int) -> str | None:
        """Record the result of a check. Return the reason to stop waiting, or None."""
        if log_bytes > self.log_bytes or cpu_seconds >= self.cpu_seconds + MIN_CPU_SECONDS:
            self.progress, self.cpu_seconds, self.log_bytes = now, cpu_seconds, log_bytes
        self.cpu_seconds = min(self.cpu_seconds, cpu_seconds)  # when a child ends, its time may disappear from the sum
        if now - self.progress > self.quiet_seconds:
            return f"is not ready after {now - self.begin:.0f} s, and made no progress for {self.quiet_seconds:.0f} s"
        return f"is not ready after {MAX_SECONDS:.0f} s" if now - self.begin > MAX_SECONDS else None


def find_cause(text: str, hopeless: Mapping[str, str]) -> str | None:
    """Return the first line that matches a pattern, followed by the pattern's remedy."""
    for line in text.splitlines():
        for pattern, remedy in hopeless.items():
            if re.search(pattern, line):
                return f"{line.strip()[:300]}. {remedy}"
    return None


def await_ready(
    is_ready: Callable[[], bool],
    leader: Callable[[], psutil.Process | None],
    *,
    quiet_seconds: float,
    log: Path | None = None,
    log_begin: int = 0,
    hopeless: Mapping[str, str] | None = None,
) -> str | None:
    """
    Wait until a service is ready or its process has ended, then return None. Otherwise return the reason to stop waiting.

    :param leader: returns the service's process, None if it has ended
    :param log_begin: size of the log before the service was started
    """
    patience = Patience(quiet_seconds, time.monotonic(), log_bytes=log_begin)
    next_check = 0.0
    while not is_ready():
        process = leader()
        if process is None:
            return None
        if cause := find_cause(read_tail(log, log_begin), {**HOPELESS, **(hopeless or {})}):
            return f"cannot become ready: {cause}"
        now = time.monotonic()
        if now >= next_check:
            next_check = now + CHECK_SECONDS
            if problem := patience.problem(now, _cpu_seconds(process), size(log)):
                return f"{problem}."
        time.sleep(0.2)
    return None


def size(log: Path | None) -> int:
    """Return the size of a log, 0 if there is none."""
    return log.stat().st_size if log and log.exists() else 0


def read_tail(log: Path | None, begin: int) -> str:
    """Return the text of a log after `begin`, at most its last MAX_TAIL_BYTES."""
    if log is None or size(log) <= begin:
        return ""
    with log.open("rb") as file:
        file.seek(max(begin, size(log) - MAX_TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")


def _cpu_seconds(leader: psutil.Process) -> float:
    """Sum the CPU time of a process and its descendants, ended ones included."""
    total = 0.0
    with suppress(psutil.Error):
        for process in [leader, *leader.children(recursive=True)]:
            with suppress(psutil.Error):
                total += sum(process.cpu_times())  # user, system, both for ended children, waits for the disk
    return total
