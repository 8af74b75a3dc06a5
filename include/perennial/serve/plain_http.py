"""HTTP/1.1 as uvicorn reads it, without upgrades to another protocol, and without requests that no one waits for."""

from __future__ import annotations

import asyncio
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class PlainHttpProtocol(HttpToolsProtocol):
    """
    A connection on which uvicorn's gaps are closed.

    uvicorn loses the body of a request with an `Upgrade` header that it does not know: the parser stops after the headers, and
    reads the body as the next request. A server may ignore such a header, so that request is parsed again without it.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection."""
        super().connection_made(transport)
        self.answering: RequestResponseCycle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection and its requests."""
        super().connection_lost(exc)
        self.forget_requests()

    def shutdown(self) -> None:
        """Stop: answer the request under way, and none that waits behind it."""
        if self.answering is not None:
            self.answering.keep_alive = False
        super().shutdown()

    def forget_requests(self) -> None:
        """Drop the requests that wait, and let the one under way end without an answer. Only for a connection that closes."""
        self.pipeline.clear()
        for cycle in (self.answering, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse bytes."""
        if self.transport.is_closing():
            return
        try:
            while data:
                data = self._parse(data)
        except HttpParserError:
            self.send_400_response("")

    def _parse(self, data: bytes) -> bytes:
        """Parse bytes up to the next request for an upgrade. Return the bytes after the headers of that."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers)))
            return data[upgrade.args[0] :]
        return b""

    def on_headers_complete(self) -> None:
        """Begin a request, unless it is about to be parsed again."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request, unless it is about to be parsed again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin with the request that waits. Set no timer, as uvicorn does after each answer: the sweep ends idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)
