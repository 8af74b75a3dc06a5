"""Limits on what one client may ask of the server, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.config.limits import MAX_BODY, MAX_RECORDS, MAX_TEXT


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests, connections and time. Beyond each of them the answer is a 4xx or a 503, never a longer wait."""

    body_bytes: int = MAX_BODY
    records: int = MAX_RECORDS
    text_characters: int = MAX_TEXT
    header_bytes: int = 32 * 2**10
    header_seconds: float = 10
    body_seconds: float = 20
    idle_seconds: float = 30
    connections: int = 1000
    inline_bytes: int = 8 * 2**10
    """Bodies up to this size are answered on the event loop (well under a millisecond); larger ones go to a worker thread."""
    workers: int = 2
    waiting: int = 32
    """Maximum of large bodies that wait for a worker thread. The next one is answered with 503."""
    buffered_bytes: int = 256 * 2**20
    """Maximum bytes of bodies held at once, over all connections."""
    stop_seconds: int = 5
