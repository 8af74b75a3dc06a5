"""The serve-check sends golden requests as the server takes them."""

from __future__ import annotations

import json

import httpx
import pytest

from perennial.config.limits import MAX_TEXT
from perennial.deploy import serve_check as module
from perennial.deploy.serve_check import MAX_BATCH, Golden, serve_check
from perennial.errors import ReleaseUnprovenError
from perennial.lake.golden import GoldenAnswers


def test_golden_requests_of_wide_texts_go_in_bodies_that_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUESTS", 2)
    monkeypatch.setattr(module, "WARM_UP", 0)
    sizes = []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.content))
        if len(request.content) > MAX_BATCH:
            return httpx.Response(413, headers={"x-release": "r"})
        asked = json.loads(request.content)
        predictions = [{"probability": item["id"] / 100} for item in asked]
        return httpx.Response(200, json={"predictions": predictions}, headers={"x-release": "r"})

    records = [{"id": index, **{f"f{field}": "ä" * MAX_TEXT for field in range(45)}} for index in range(25)]
    golden = Golden("r", GoldenAnswers(records, [index / 100 for index in range(25)]), p99_ms=10_000)
    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server")
    assert serve_check(client, golden).facts()["requests"] == 2
    *together, _, _ = sizes
    assert len(together) == 3
    assert sum(together) > MAX_BATCH


def test_a_server_that_asks_for_another_token_blames_no_release() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(401, headers={"x-release": "r"}))
    golden = Golden("r", GoldenAnswers([{"id": 1}], [0.5]), p99_ms=50)
    with pytest.raises(ReleaseUnprovenError, match="HTTP 401"):
        serve_check(httpx.Client(transport=transport, base_url="http://server"), golden)
