"""Reading the body of a request: checks of its headers, limits on its size and its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from perennial.serve.limits import Limits
from perennial.serve.refusal import Refusal, quoted

Message = dict[str, Any]
"""A message of ASGI."""

Scope = Message
Receive = Callable[[], Awaitable[Message]]


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete, so no answer can be sent."""


class BodyReader:
    """Reads bodies, and limits the bytes held over all connections: of bodies that arrive, and of large ones until release()."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing held."""
        self._limits = limits
        self._held = 0

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """
        Return the body of a JSON request, or raise Refusal (408, 411, 413, 415, 501, 503).

        The caller releases it when it is answered.
        """
        check_headers(scope, self._limits)
        if scope["state"].get("arrived"):  # a timeout would cost more than the rest of this method
            body = await self._read_parts(receive)
        else:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    body = await self._read_parts(receive)
            except TimeoutError:
                raise Refusal(408, f"The body did not arrive within {self._limits.body_seconds:g} seconds") from None
        if len(body) > self._limits.inline_bytes:
            self._require_room(len(body))
            self._held += len(body)
        return body

    def release(self, body: bytes) -> None:
        """Forget a body that was answered."""
        if len(body) > self._limits.inline_bytes:
            self._held -= len(body)

    async def _read_parts(self, receive: Receive) -> bytes:
        message = await receive()
        if message["type"] == "http.request" and not message["more_body"]:
            body: bytes = message["body"]
            return body
        parts: list[bytes] = []
        size = 0
        try:
            while message["type"] == "http.request":
                part = message["body"]
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if size > self._limits.body_bytes:
                    raise _too_large(self._limits)
                self._require_room(0)
                if not message["more_body"]:
                    return b"".join(parts)
                message = await receive()
            raise ClientGoneError
        finally:
            self._held -= size

    def _require_room(self, size: int) -> None:
        if self._held + size > self._limits.buffered_bytes:
            raise Refusal(503, "The server's buffer for request bodies is full. Try again", headers=[(b"retry-after", b"1")])


def check_headers(scope: Scope, limits: Limits) -> None:
    """Refuse a request that its headers alone show to be wrong, before a byte of the body is read."""
    content_type = b""
    length: bytes | None = None
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise Refusal(501, f"Transfer-Encoding {_ascii(value)} is not supported. Send the body plain, or chunked")
            chunked = True
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Refusal(
                415,
                f"Content-Encoding {_ascii(value)} is not supported. Send the body plain",
                headers=[(b"accept-encoding", b"identity")],
            )
    if content_type != b"application/json" and not _is_json(content_type):
        raise Refusal(
            415,
            f'Content-Type is {_ascii(content_type)}, expected "application/json"',
            headers=[(b"accept", b"application/json")],
        )
    if length is None and not chunked:
        raise Refusal(411, "Content-Length is missing. Send it, or a chunked body")
    if length is not None and int(length) > limits.body_bytes:
        raise _too_large(limits)


def has_body(scope: Scope) -> bool:
    """Return whether a request announces a body."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
        for name, value in scope["headers"]
    )


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    return kind.strip() == b"application/json" and parameters.replace(b" ", b"").replace(b'"', b"") in (b"", b"charset=utf-8")


def _ascii(value: bytes) -> str:
    return quoted(value.decode("latin-1")) if value else "missing"


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"The body is larger than {limits.body_bytes} bytes. Send the records in parts")
