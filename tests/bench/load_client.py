"""A closed-loop HTTP/1.1 load client: each connection sends its next request when the last answer is complete."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What one run saw: latencies in seconds of the answers with status 200; anything else stops the run."""

    seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rps(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile_ms(self, q: float) -> float:
        return sorted(self.latencies)[min(int(q * len(self.latencies)), len(self.latencies) - 1)] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, latencies: list[float], done: asyncio.Future[None]) -> None:
        self._request, self._until, self._latencies, self._done = request, until, latencies, done
        self._buffer, self._wanted = b"", 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._buffer, self._wanted = b"", 0
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._buffer, 0, end)
            if length is None or not self._buffer.startswith(b"HTTP/1.1 200"):
                self._finish(RuntimeError(f"Unexpected answer: {self._buffer[:500]!r}"))
                return
            self._wanted = end + 4 + int(length[1])
        if len(self._buffer) < self._wanted:
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        if now < self._until:
            self._send()
        else:
            self._finish(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(error or RuntimeError("The server closed the connection"))

    def _finish(self, error: Exception | None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)
        self._transport.close()


def run_load(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Send `request` again and again over keep-alive connections for some seconds."""

    async def run() -> Load:
        loop = asyncio.get_running_loop()
        load = Load(0.0)
        began = time.perf_counter()
        waits = []
        for _ in range(connections):
            done: asyncio.Future[None] = loop.create_future()
            waits.append(done)
            await loop.create_connection(
                lambda d=done: _Connection(request, began + seconds, load.latencies, d), "127.0.0.1", port
            )
        await asyncio.wait_for(asyncio.gather(*waits), timeout=seconds + 30)
        load.seconds = time.perf_counter() - began
        return load

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
