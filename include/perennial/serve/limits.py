"""Limits on what clients may ask of the server, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perennial.config.limits import MAX_BODY, MAX_RECORDS, MAX_TEXT
from perennial.serve.memory import DEFAULT_MEMORY

_CONNECTION_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests, connections, memory and time. Beyond each the answer is a 4xx or a 503, never a longer wait."""

    body_bytes: int = MAX_BODY
    records: int = MAX_RECORDS
    text_characters: int = MAX_TEXT
    headers: int = 100
    header_bytes: int = 32 * 2**10
    header_seconds: float = 10
    body_seconds: float = 20
    idle_seconds: float = 30
    connections: int = 1000
    address_connections: int = 1000
    """Maximum number of connections from one network. All users behind a gateway share its network, so it may have them all."""
    inline_bytes: int = 8 * 2**10
    """Bodies up to this size are answered on the event loop (well under a millisecond); larger ones go to a worker thread."""
    workers: int = 2
    waiting: int = 32
    """Maximum of large bodies that wait for a worker thread. The next one is answered with 503."""
    buffered_bytes: int = DEFAULT_MEMORY // 8
    """Maximum bytes of large bodies that are there at once, over all connections: arriving, waiting, being answered."""
    answer_bytes: int = DEFAULT_MEMORY // 4
    """Maximum memory that it may take to answer one request. Requests that may take a quarter of it are answered in turn."""
    unread_bytes: int = DEFAULT_MEMORY // 16
    """Maximum bytes of answers that clients have not read, and of requests that wait behind them, over all connections."""
    queued_bytes: int = 128 * 2**10
    """Maximum memory of the requests queued on a connection. A connection with more is closed."""
    send_bytes: int = 64 * 2**10
    """Bytes of answers that the kernel buffers for a connection (it takes twice as much, for its own structures)."""

    stop_seconds: int = 5

    def within(self, memory: int) -> Limits:
        """
        Return the limits of a server with this memory in bytes.

        With two workers, requests take at most half of it: buffers 1/8, answers 1/4 and 1/16, unread bytes 1/16.
        The rest is for the release, for its successor while both are loaded, for connections and for gaps in the heap.
        """
        return replace(
            self,
            connections=min(self.connections, memory // _CONNECTION_BYTES),
            buffered_bytes=memory // 8,
            answer_bytes=memory // 4,
            unread_bytes=memory // 16,
        )
