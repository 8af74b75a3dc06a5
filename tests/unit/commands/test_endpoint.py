"""What `status` and `releases` say of the active release: it serves only when the endpoint answers from it."""

from __future__ import annotations

import pytest

from perennial.commands.endpoint import Endpoint, look


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("http://e", True, "r2"), "serves"),
        (Endpoint("http://e", False, None), "active; no server answers: make up"),
        (
            Endpoint("http://e", True, "r1"),
            "active; the endpoint answers from r1. See the log of the server (var/log, or its pods)",
        ),
        (
            Endpoint("http://e", True, None),
            "active; the endpoint answers from no release. See the log of the server (var/log, or its pods)",
        ),
    ],
    ids=["serves", "no server", "another release", "no release"],
)
def test_standing_of_the_active_release(endpoint: Endpoint, text: str) -> None:
    assert endpoint.about("r2") == text


def test_nothing_at_the_endpoint(monkeypatch: pytest.MonkeyPatch, pipeline_factory, tmp_path) -> None:
    pipeline = pipeline_factory()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(pipeline.folder.parent))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert look(pipeline) == Endpoint("http://127.0.0.1:9", False, None)
