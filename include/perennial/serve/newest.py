"""The number of the newest pointer that a server has seen, kept in a file of this machine beyond the server's end."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from perennial.access.small_file import read_small_file

log = logging.getLogger(__name__)

_MAX_BYTES = 100
_DAY_MILLISECONDS = 24 * 3600 * 1000


def max_number() -> int:
    """Return the highest number that a pointer may have now: a day ahead, for clocks that differ."""
    return int(time.time() * 1000) + _DAY_MILLISECONDS


class NewestNumber:
    """The highest number so far. Without a file, or with one that is damaged, a new server has seen none."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.value = _read(file) if file else 0

    def rise(self, number: int) -> None:
        """Keep a higher number. A file that cannot be written is logged: the server goes on, and remembers until its end."""
        self.value = number
        if self._file is None:
            return
        scratch = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch.write_text(f"{number}\n", encoding="ascii")
            scratch.replace(self._file)
        except OSError as error:
            log.warning("The number of the newest pointer is not kept beyond the end of this server: %s", error)


def _read(file: Path) -> int:
    try:
        number = int(read_small_file(file)[:_MAX_BYTES])
        if number > max_number():
            raise ValueError("it is of the future")
        return number
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        log.warning("The number of the newest pointer cannot be read, so any signed pointer counts: %s", error)
        return 0
