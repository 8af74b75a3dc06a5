"""HTTP connections with limits: uvicorn alone waits forever for headers, for a client that does not read, and for any number."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from typing import ClassVar

from perennial.serve.crowd import crowded_network, longest_waiting, network_of
from perennial.serve.limits import Limits
from perennial.serve.plain_http import PlainHttpProtocol

_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}

_REQUEST_BYTES = 3 * 2**10
_HEADER_BYTES = 128
"""Upper bounds of the memory that a request and each of its headers take besides their text."""


class _RefusedError(Exception):
    """Ends the parsing of a connection that was refused."""


class BoundedProtocol(PlainHttpProtocol):
    """
    One connection with limits on its headers, on what frames its bodies, and on its time.

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
        self._heads = 0
        self._frame_bytes = 0  # bytes of headers, or of chunk sizes and trailers, that the body does not pay for
        self._body_bytes = 0
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
        other = longest_waiting(others, network) or self
        if other is self or other._in_message:
            other.refuse(503, "Too many connections. Try again")
        else:
            other.cut(503)  # its client would take an answer as the one to its next request

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
    def queued_bytes(self) -> int:
        """Return the memory of the queued requests of this connection."""
        return sum(len(cycle.body) + cycle.scope["state"]["bytes"] for cycle, _ in self.pipeline)

    @property
    def unread_bytes(self) -> int:
        """Return the bytes of answers that the client has not read, and of requests that wait behind them."""
        return self.transport.get_write_buffer_size() + self.queued_bytes

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and limit the bytes of headers, chunk sizes and trailers that do not end."""
        under_way, messages, heads, body = self._in_message, self._messages, self._heads, self._body_bytes
        super().data_received(data)
        # Bytes that also hold the end of something earlier are not counted: the socket's buffer limits their number.
        if self._messages - messages > (not under_way) or self._heads > heads or not self._in_message:
            return
        # A byte of a body pays for one of its frame.
        self._frame_bytes = max(0, self._frame_bytes + len(data) - 2 * (self._body_bytes - body))
        if problem := self._find_excess(self._frame_bytes):
            self.refuse(431, problem)

    def on_message_begin(self) -> None:
        """Start the clock of a request's headers at their first byte."""
        super().on_message_begin()
        self._begun = self._in_message = True
        self._messages += 1
        self._frame_bytes = 0
        self._move_to_end()
        self.due = self.loop.time() + self.limits.header_seconds

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. A trailer is dropped: it arrives after the request was judged by its headers."""
        if self._begun:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock, and refuse headers that arrived complete in one chunk but are too large, too many, or not HTTP/1.1."""
        size = len(self.url)
        hosts = 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if problem := self._find_excess(size):
            self.refuse(431, problem)
            raise _RefusedError
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self.refuse(400, f"The request has {hosts} Host headers, expected 1")
            raise _RefusedError
        if self.parser.get_method() == b"CONNECT":
            self.refuse(400, "This server is no proxy: it does not take CONNECT")
            raise _RefusedError
        if self.queued_bytes > self.limits.queued_bytes:
            self.cut(503)
            raise _RefusedError
        self._begun = False
        self._heads += 1
        self._frame_bytes = 0
        self.due = None
        self.scope["state"]["bytes"] = _REQUEST_BYTES + size + _HEADER_BYTES * len(self.headers)
        super().on_headers_complete()

    def _find_excess(self, size: int) -> str | None:
        """Return what is too large: the headers, their number, or what frames the body."""
        if size > self.limits.header_bytes and self._begun:
            return f"The headers are larger than {self.limits.header_bytes} bytes"
        if size > self.limits.header_bytes:
            return f"Chunk sizes and trailers take {self.limits.header_bytes} bytes more than the body. Send larger chunks"
        if len(self.headers) > self.limits.headers:
            return f"The request has more than {self.limits.headers} headers"
        return None

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record the end of a request. Its answer may still be under way."""
        super().on_message_complete()
        self._in_message = False
        self.scope["state"]["arrived"] = True

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
        self.forget_requests()

    def cut(self, status: int) -> None:
        """Close the connection without an answer. The status is for the metrics."""
        self.app.metrics.count("connection", status, 0.0)
        self.due = self.loop.time() + self.limits.header_seconds
        self.transport.close()
        self.forget_requests()

    def refuse(self, status: int, text: str) -> None:
        """Answer a request that the application does not see, unless another answer is due first, and close the connection."""
        if self.transport.is_closing():
            return
        if self._is_next_answer():
            body = json.dumps({"error": text}).encode()
            head = (
                f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.cut(status)

    def _is_next_answer(self) -> bool:
        """Return whether the client will take bytes written now as the answer to the request that is arriving."""
        if self._begun:  # the last cycle is that of the request before
            return self.cycle is None or self.cycle.response_complete
        return self.cycle is None or not (self.pipeline or self.cycle.response_started)


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """Return the protocol class with these limits. uvicorn creates one instance for each connection."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits, "networks": Counter(), "order": {}})
