"""Log lines that repeat: a client that sends bad requests must not fill the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_SECONDS = 60.0
_MAX_TEXTS = 100


class Repeats(logging.Filter):
    """Passes each warning and error once a minute, with the number of times that it was held back before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing seen."""
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record. Add the number of its repetitions."""
        if record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        with self._lock:
            repeats = self._count(record.name, text)
        if repeats:
            record.msg, record.args = f"{text} ({repeats} more since the last such line)", None
        return repeats is not None

    def _count(self, name: str, text: str) -> int | None:
        """Return the number of records held back since the last one like this, or None to hold this one back."""
        now = self._clock()
        since, repeats = self._seen.pop((name, text), (None, 0))
        if since is not None and now - since < _SECONDS:
            self._seen[(name, text)] = (since, repeats + 1)
            return None
        self._seen[(name, text)] = (now, 0)
        if len(self._seen) > _MAX_TEXTS:
            del self._seen[next(iter(self._seen))]
        return repeats
