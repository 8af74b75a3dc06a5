"""HTTP connections with deadlines: uvicorn alone waits forever for headers, and for a client that does not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perennial.serve.limits import Limits

_SWEEP_SECONDS = 0.25
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


class BoundedProtocol(HttpToolsProtocol):
    """
    One connection with limits on its headers and its time.

    `due` is the time by which the current headers must be complete (None: a request is being answered). A sweep over all
    connections checks it. The cost to a request is two readings of the loop's clock.
    """

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or refuse it with 503 if there are too many."""
        super().connection_made(transport)
        self._begun = False  # headers have begun to arrive
        self._in_message = False  # headers or body are still arriving
        self._messages = 0
        self._header_bytes = 0
        self.due: float | None = self.loop.time() + self.limits.header_seconds
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "Too many connections. Try again")

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and limit the bytes of headers that do not end."""
        under_way, begun = self._in_message, self._messages
        super().data_received(data)
        # A chunk that also holds the end of an earlier, pipelined request is not counted: the socket's buffer limits its size.
        if self._begun and (self._messages == begun or (self._messages == begun + 1 and not under_way)):
            self._header_bytes += len(data)
            if self._header_bytes > self.limits.header_bytes:
                self._refuse(431, f"The headers are larger than {self.limits.header_bytes} bytes")

    def on_message_begin(self) -> None:
        """Start the clock of a request's headers at their first byte."""
        super().on_message_begin()
        self._begun = self._in_message = True
        self._messages += 1
        self._header_bytes = 0
        self.due = self.loop.time() + self.limits.header_seconds

    def on_headers_complete(self) -> None:
        """Stop the clock, and refuse headers that arrived complete in one chunk but are too large."""
        self._begun = False
        self.due = None
        size = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if size > self.limits.header_bytes:
            self._refuse(431, f"The headers are larger than {self.limits.header_bytes} bytes")
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Record the end of a request. Its answer may still be under way."""
        super().on_message_complete()
        self._in_message = False

    def on_response_complete(self) -> None:
        """Start the clock of the next request's headers, unless a pipelined request has begun already."""
        super().on_response_complete()
        if not self._in_message:
            self.due = self.loop.time() + self.limits.idle_seconds

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        self._refuse(400, "The request is not valid HTTP/1.1")

    def sweep(self, now: float) -> None:
        """Close the connection if its time is up. Called a few times a second."""
        if self.transport.is_closing():
            if self.due is None:
                self.due = now + self.limits.header_seconds
            elif now > self.due:  # only bytes that the client does not read keep it open
                self.transport.abort()
        elif self.due is not None and now > self.due and (self.cycle is None or self.cycle.response_complete):
            self.due = now + self.limits.header_seconds
            if self._begun:
                self._refuse(408, f"The headers did not arrive within {self.limits.header_seconds:g} seconds")
            else:
                self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        body = json.dumps({"error": text}).encode()
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.app.metrics.count("connection", status, 0.0)
        self.due = self.loop.time() + self.limits.header_seconds
        self.transport.write(head.encode() + body)
        self.transport.close()


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """Return the protocol class with these limits. uvicorn creates one instance for each connection."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})


async def sweep_connections(connections: Iterable[asyncio.Protocol]) -> None:
    """Enforce the deadlines of all connections until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, BoundedProtocol):
                connection.sweep(now)
