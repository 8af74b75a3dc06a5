"""Bounds of the logs of services: at most about twice MAX_BYTES for each service."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MAX_BYTES = 16 * 2**20


def bound_logs(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Bound every log of a folder."""
    for log in folder.glob("*.log"):
        bound_log(log, max_bytes)


def bound_log(log: Path, max_bytes: int = MAX_BYTES) -> None:
    """
    Empty a log that is longer than `max_bytes`. Its end is kept in `<name>.log.1`, in place of an earlier one.

    Services hold their logs open and append, so they continue at the beginning of the emptied file. A line that is written
    between the copy and the emptying is lost.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return
    scratch, kept = log.with_name(f"{log.name}.new"), log.with_name(f"{log.name}.1")
    with log.open("rb") as source, scratch.open("wb") as target:
        scratch.chmod(0o600)
        source.seek(-max_bytes, os.SEEK_END)
        shutil.copyfileobj(source, target)
    os.truncate(log, 0)
    scratch.replace(kept)
