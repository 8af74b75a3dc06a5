"""Child processes on this machine that end with this one: Perennial's own modules that train or serve."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
LAST_LINES = 20
"""Number of a child's last lines that an error quotes."""


@contextmanager
def child(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], python: str = sys.executable
) -> Iterator[subprocess.Popen[str]]:
    """Run a module as a child in its own session. Leaving the block ends it and everything it started."""
    command = [python, "-u", "-m", "perennial.runtime.child", str(os.getpid()), module, *arguments]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """End a child's process group: SIGTERM, then SIGKILL. If the child has already ended, kill what it left behind at once."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("Process %s did not stop within %.0f s and is being killed", process.pid, STOP_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
    if process.stdout:
        process.stdout.close()


def describe_end(code: int) -> str:
    """Describe how a child with this exit code ended, as the end of a sentence."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        log.debug("Process group %s has ended already", group)
