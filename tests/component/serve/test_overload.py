"""Bounds that need many clients to reach, shown on the application itself with smaller bounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from perennial.serve.app import App
from perennial.serve.body import BodyReader
from perennial.serve.limits import Limits
from perennial.serve.metrics import Metrics
from perennial.serve.refusal import Refusal
from perennial.serve.release import Release

RELEASE = Release("r", "v", "2013-02-13", cast(Any, SimpleNamespace(answer_bytes=0)))
PARTS = [b"{" * 10, b"}" * 10]


def ask(limits: Limits) -> tuple[int, dict[bytes, bytes], bytes]:
    """POST two parts of a body to an application with these limits."""
    app = App("small", Metrics("small"), limits)
    app.switch(RELEASE)
    messages = [{"type": "http.request", "body": part, "more_body": part is PARTS[0]} for part in PARTS]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"20")]
    asyncio.run(app({"type": "http", "method": "POST", "raw_path": b"/predict", "headers": headers, "state": {}}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (replace(Limits(), inline_bytes=0, waiting=0), b"Too many large requests"),
        (replace(Limits(), buffered_bytes=15), b"buffer for request bodies is full"),
    ],
    ids=["workers", "bytes held"],
)
def test_overload_is_a_503_that_says_when_to_try_again(limits: Limits, text: bytes) -> None:
    status, headers, body = ask(limits)

    assert status == 503
    assert headers[b"retry-after"] == b"1"
    assert text in body


def test_within_its_bounds_the_same_body_is_read() -> None:
    status, _, body = ask(Limits())

    assert status == 400
    assert b"not JSON" in body


def test_a_large_body_takes_room_until_it_is_released() -> None:
    reader = BodyReader(replace(Limits(), inline_bytes=5, buffered_bytes=30))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"20")]

    def read(parts: list[bytes]) -> bytes:
        messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        return asyncio.run(reader.read({"headers": headers, "state": {}}, receive))

    body = read([b"x" * 20])
    read([b"small"])
    for parts in ([b"x" * 20], [b"x" * 10, b"y" * 10]):
        with pytest.raises(Refusal) as refused:
            read(parts)
        assert refused.value.status == 503
    reader.release(body)
    assert read([b"x" * 10, b"y" * 10]) == b"x" * 10 + b"y" * 10


def test_an_answered_body_is_released() -> None:
    app = App("small", Metrics("small"), replace(Limits(), inline_bytes=5))
    app.switch(RELEASE)
    messages = [{"type": "http.request", "body": b"{" * 20, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 400) == 400

    headers = [(b"content-type", b"application/json"), (b"content-length", b"20")]
    asyncio.run(app({"type": "http", "method": "POST", "raw_path": b"/predict", "headers": headers, "state": {}}, receive, send))
    assert app._bodies._held == 0
