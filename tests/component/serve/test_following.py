"""Following the pointer survives anything that the store may hold, and tells the age of its knowledge."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from serve_release_builder import build_release, inputs_of, point_at
from serve_small_s3 import SmallS3

from perennial.errors import RefusedError
from perennial.lake.layout import Layout
from perennial.serve import follow
from perennial.serve.app import App
from perennial.serve.follow import Follower
from perennial.serve.limits import Limits
from perennial.serve.metrics import Metrics
from perennial.serve.release import Release, load_release
from perennial.serve.trust import TrustMetric
from perennial.store.content_name import canonical_json, sha256
from perennial.store.objects import Objects

LAYOUT = Layout("s3://perennial", "main", "followed")
INPUTS = inputs_of("small")
DEEP = b"[" * 100_000


def with_file(store: SmallS3, name: str, body: bytes) -> str:
    """Put a release into the store one of whose files has another body, with its digest. Return its id."""
    release = build_release(store, "followed", INPUTS, name="other")
    manifest = json.loads(store.objects[LAYOUT.release(release)])
    manifest["files"][name] = {"sha256": sha256(body), "size": len(body)}
    store.objects[LAYOUT.blob(sha256(body))] = body
    store.objects[LAYOUT.release(release)] = canonical_json(manifest)
    return release


FILES = {
    "graph is not ONNX": ("model.onnx", b"nonsense"),
    "graph is empty": ("model.onnx", b""),
    "graph of a newer version": ("model.onnx", b"\x08\x7f"),
    "lookup nested deeply": ("lookups/tail_rates.json", DEEP + b"]" * 100_000),
    "lookup is a number": ("lookups/tail_rates.json", b"5"),
    "lookup with a number beyond a float": (
        "lookups/tail_rates.json",
        b'{"key":["tailnum"],"values":["late_logit","age"],"rows":[["N1",1' + b"0" * 400 + b",1]]}",
    ),
    "golden requests nested deeply": ("golden.json", DEEP),
    "golden requests are a number": ("golden.json", b'{"records": 5, "probabilities": []}'),
    "golden answer is a text": ("golden.json", b'{"records": [], "probabilities": "a"}'),
}
POINTERS = {
    "pointer nested deeply": DEEP,
    "pointer is not UTF-8": b"\xff\xfe",
    "pointer is a list": b"[1]",
    "pointer to a list": b'{"format": 1, "release": ["x"]}',
    "pointer to a path": b'{"format": 1, "release": "../x"}',
}


@pytest.fixture
def app(store: SmallS3, monkeypatch: pytest.MonkeyPatch) -> App:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return App("followed", Metrics("followed"), Limits())


@pytest.mark.parametrize("case", FILES)
def test_a_release_that_cannot_be_opened_is_refused(store: SmallS3, app: App, case: str) -> None:
    release = with_file(store, *FILES[case])

    with pytest.raises(RefusedError, match=r"'other'|'tail_rates'|model\.onnx"):
        load_release(Objects(), LAYOUT, release, Limits())


@pytest.mark.parametrize("case", [*FILES, *POINTERS])
def test_the_old_release_serves_on_and_the_next_one_is_loaded(store: SmallS3, app: App, case: str) -> None:
    follower = Follower(app, Objects(), LAYOUT, Limits(), TrustMetric(app.metrics.registry))
    good = build_release(store, "followed", INPUTS, name="good")
    point_at(store, "followed", good)
    follower.follow_once()

    if case in FILES:
        point_at(store, "followed", with_file(store, *FILES[case]))
    else:
        store.objects[LAYOUT.active] = POINTERS[case]
    follower.follow_once()
    assert app.release
    assert app.release.id == good
    assert b"perennial_release_load_failures_total 1.0" in app.metrics.text()

    point_at(store, "followed", build_release(store, "followed", INPUTS, name="next"))
    follower.follow_once()
    assert app.release.id == "next"


def test_a_refused_release_is_downloaded_less_and_less_often_and_another_one_at_once(
    store: SmallS3, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(app, Objects(), LAYOUT, Limits(), TrustMetric(app.metrics.registry))
    loaded = []

    def load(*arguments: Any) -> Release:
        loaded.append(time.monotonic())
        return load_release(*arguments)

    monkeypatch.setattr(follow, "load_release", load)
    point_at(store, "followed", with_file(store, *next(iter(FILES.values()))))
    for second in range(1_000, 1_121):
        monkeypatch.setattr(time, "monotonic", lambda now=float(second): now)
        follower.follow_once()
    assert loaded == [1_000, 1_005, 1_015, 1_035, 1_075, 1_115]

    point_at(store, "followed", build_release(store, "followed", INPUTS, name="next"))
    follower.follow_once()
    assert app.release
    assert app.release.id == "next"


def test_the_thread_survives_any_error(
    store: SmallS3, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follow, "_RETRY_SECONDS", 0.01)
    errors: list[Exception] = [MemoryError(), RecursionError(), RuntimeError("odd"), AssertionError()]

    class Odd(Objects):
        def read(self, uri: str, max_bytes: int | None = None) -> Any:
            if errors:
                raise errors.pop()
            return super().read(uri, max_bytes)

    point_at(store, "followed", build_release(store, "followed", INPUTS, name="good"))
    follower = Follower(app, Odd(), LAYOUT, Limits(), TrustMetric(app.metrics.registry))
    with caplog.at_level(logging.ERROR):
        follower.start()
        deadline = time.monotonic() + 10
        while app.release is None and time.monotonic() < deadline:
            time.sleep(0.02)
        follower.stop()

    assert app.release
    assert app.release.id == "good"
    assert b"perennial_follow_failures_total 4.0" in app.metrics.text()
    assert "RuntimeError: odd" in caplog.text


def test_the_age_of_the_pointer_grows_while_the_store_does_not_answer(
    store: SmallS3, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def age() -> float:
        lines = app.metrics.text().decode().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("perennial_pointer_age_seconds ")))

    now = time.monotonic()
    follower = Follower(app, Objects(), LAYOUT, Limits(), TrustMetric(app.metrics.registry))
    follower.follow_once()
    assert age() < 10
    monkeypatch.setattr(time, "monotonic", lambda: now + 100)
    assert age() > 80
    follower.follow_once()
    monkeypatch.setattr(time, "monotonic", lambda: now + 102)  # metrics are rendered once a second at most
    assert age() == 2


def test_a_server_of_one_release_has_no_pointer(app: App) -> None:
    assert b"perennial_pointer_age_seconds" not in app.metrics.text()
