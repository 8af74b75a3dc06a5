"""HTTP connections with limits: uvicorn alone waits forever for headers, for a client that does not read, and for any number."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perennial.serve.crowd import crowded_network, longest_waiting, network_of
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
    networks: ClassVar[Counter[str]] = Counter()
    """Number of connections from each network."""

    order: ClassVar[dict[BoundedProtocol, None]] = {}
    """All connections, in the order in which they last began to wait for their client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, in place of another one if there are too many."""
        super().connection_made(transport)
        now = self.loop.time()
        self._begun = False  # headers have begun to arrive
        self._in_message = False  # headers or body are still arriving
        self._messages = 0
        self._header_bytes = 0
        self.order[self] = None
        self._blocked_since: float | None = None  # the client does not read
        self.due: float | None = now + self.limits.header_seconds
        self.network = network_of(self.client[0]) if self.client else ""
        self.networks[self.network] += 1
        # Otherwise the kernel takes up to 4 MB of answers that the client does not read, which count as memory of the pod.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_bytes)
        if self.networks[self.network] > self.limits.address_connections:
            self._replace_one(self.network)
        elif len(self.connections) > self.limits.connections:
            self._replace_one(crowded_network(self.networks, self.limits.connections))

    def _replace_one(self, network: str | None) -> None:
        """Close the longest waiting connection, of all or of one network; if none waits, close this one."""
        others = (other for other in self.order if other is not self)
        (longest_waiting(others, network) or self).refuse(503, "Too many connections. Try again")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        super().connection_lost(exc)
        self.order.pop(self, None)
        self.networks[self.network] -= 1
        if not self.networks[self.network]:
            del self.networks[self.network]

    @property
    def is_waiting(self) -> bool:
        """Return whether the server waits for the client here, for a request or for the rest of one, and answers nothing."""
        if self.transport.is_closing() or self.pipeline:
            return False
        is_idle = self.cycle is None or self.cycle.response_complete
        return is_idle or (self._in_message and not self._begun and not self.cycle.response_started)

    @property
    def unread_bytes(self) -> int:
        """Return the bytes of answers that the client has not read, and of requests that wait behind them."""
        return self.transport.get_write_buffer_size() + sum(len(cycle.body) for cycle, _ in self.pipeline)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and limit the bytes of headers that do not end."""
        under_way, begun = self._in_message, self._messages
        super().data_received(data)
        # A chunk that also holds the end of an earlier, pipelined request is not counted: the socket's buffer limits its size.
        if self._begun and (self._messages == begun or (self._messages == begun + 1 and not under_way)):
            self._header_bytes += len(data)
            self._check_size(self._header_bytes)

    def on_message_begin(self) -> None:
        """Start the clock of a request's headers at their first byte."""
        super().on_message_begin()
        self._begun = self._in_message = True
        self._messages += 1
        self._header_bytes = 0
        self._move_to_end()
        self.due = self.loop.time() + self.limits.header_seconds

    def on_headers_complete(self) -> None:
        """Stop the clock, and refuse headers that arrived complete in one chunk but are too large, too many, or not HTTP/1.1."""
        self._begun = False
        self.due = None
        size = len(self.url)
        hosts = 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if not self._check_size(size):
            return
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self.refuse(400, f"The request has {hosts} Host headers, expected 1")
            return
        super().on_headers_complete()

    def _check_size(self, size: int) -> bool:
        """Refuse headers of too many bytes, or too many headers. Return whether they are within the limits."""
        if size > self.limits.header_bytes:
            self.refuse(431, f"The headers are larger than {self.limits.header_bytes} bytes")
        elif len(self.headers) > self.limits.headers:
            self.refuse(431, f"The request has more than {self.limits.headers} headers")
        else:
            return True
        return False

    def on_message_complete(self) -> None:
        """Record the end of a request. Its answer may still be under way."""
        super().on_message_complete()
        self._in_message = False

    def on_response_complete(self) -> None:
        """Start the clock of the next request's headers, unless a pipelined request has begun already."""
        super().on_response_complete()
        if not self._in_message:
            self._move_to_end()
            self.due = self.loop.time() + self.limits.idle_seconds

    def _move_to_end(self) -> None:
        """Note that the connection begins to wait now."""
        if self.order.pop(self, self) is None:  # it is not lost
            self.order[self] = None

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._blocked_since = self.loop.time()

    def resume_writing(self) -> None:
        """Stop the clock of a client that reads again."""
        super().resume_writing()
        self._blocked_since = None

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP."""
        self.refuse(400, "The request is not valid HTTP/1.1")

    def sweep(self, now: float) -> None:
        """Close the connection if its time is up. Called a few times a second."""
        if self._blocked_since is not None and now - self._blocked_since > self.limits.idle_seconds:
            self.abort()
        elif self.transport.is_closing():
            if self.due is None:
                self.due = now + self.limits.header_seconds
            elif now > self.due:  # only bytes that the client does not read keep it open
                self.transport.abort()
        elif self.due is not None and now > self.due and (self.cycle is None or self.cycle.response_complete):
            self.due = now + self.limits.header_seconds
            if self._begun:
                self.refuse(408, f"The headers did not arrive within {self.limits.header_seconds:g} seconds")
            else:
                self.transport.close()

    def abort(self) -> None:
        """Close the connection at once, without the bytes that its client does not read."""
        self.app.metrics.count("connection", 408, 0.0)
        self.transport.abort()

    def refuse(self, status: int, text: str) -> None:
        """Answer a request that the application does not see, and close the connection."""
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
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits, "networks": Counter(), "order": {}})


async def sweep_connections(connections: Iterable[asyncio.Protocol], limits: Limits) -> None:
    """Enforce the deadlines of all connections, and the limit of their unread bytes, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        bounded = [connection for connection in connections if isinstance(connection, BoundedProtocol)]
        for connection in bounded:
            connection.sweep(now)
        unread = sum(connection.unread_bytes for connection in bounded)
        if unread <= limits.unread_bytes:
            continue
        for connection in sorted(bounded, key=lambda connection: connection.unread_bytes, reverse=True):
            unread -= connection.unread_bytes
            connection.abort()
            if unread <= limits.unread_bytes:
                break
