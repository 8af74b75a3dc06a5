"""Releases: what is refused before it serves, following the pointer, and swaps under load."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, build_release, inputs_of, point_at, small_graph
from serve_small_s3 import SmallS3

from perennial.errors import PerennialError, RefusedError
from perennial.lake.layout import Layout
from perennial.serve.limits import Limits
from perennial.serve.release import load_release
from perennial.store.objects import Objects

INPUTS = inputs_of("small")
LAYOUT = Layout("s3://perennial", "main", "damaged")


@pytest.fixture
def objects(store: SmallS3, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return Objects()


def golden(probability: float, **changes: Any) -> bytes:
    return json.dumps({"records": [{**RECORD, **changes}], "probabilities": [probability]}).encode()


OTHER_LOOKUP = b'{"key":["tailnum"],"rows":[["N1",99,99]],"values":["late_logit","age"]}'
DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "other format": ({"format": 3}, "format 1 or 2"),
    "other pipeline": ({"pipeline": "other"}, "pipeline is 'other'"),
    "other space": ({"space": "lab"}, "space is 'lab'"),
    "replayed under another name": ({"release": "2013-01-01-000000000000"}, "release is '2013-01-01"),
    "no files": ({"files": {}}, "not among its files"),
    "digest is a path": ({"files": {"lookups/route_rates.json": {"sha256": "../active", "size": 1}}}, "no SHA-256"),
    "graph of other bytes": ({"model.onnx": small_graph(INPUTS, 1.0)}, "expected"),
    "graph cut": ({"model.onnx": b"x"}, "model.onnx is 1 bytes"),
    "lookup of other bytes": ({"lookups/tail_rates.json": OTHER_LOOKUP}, "lookups/tail_rates.json"),
    "inputs unknown": ({"inputs": {"request": {"date": {"type": "moment"}}}}, "inputs"),
    "golden answers differ": ({"golden": golden(0.99)}, "golden record 0"),
    "golden record refused": ({"golden": golden(0.5, distance="x")}, "field 'distance'"),
    "golden empty": ({"golden": b'{"records":[],"probabilities":[]}'}, "0 records"),
    "golden malformed": ({"golden": b"[1]"}, "malformed"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_release_is_refused(store: SmallS3, objects: Objects, case: str) -> None:
    damage, text = DAMAGE[case]
    release = build_release(store, "damaged", INPUTS, damage=damage)

    with pytest.raises(RefusedError, match=text.replace("(", "\\(")):
        load_release(objects, LAYOUT, release, Limits())


def test_graph_of_other_inputs_is_refused(store: SmallS3, objects: Objects) -> None:
    fewer = INPUTS.model_dump(mode="json")
    del fewer["request"]["temp"]
    release = build_release(store, "damaged", INPUTS, damage={"inputs": fewer})

    with pytest.raises(RefusedError, match=r"expected tensor\(float\)"):
        load_release(objects, LAYOUT, release, Limits())


def test_missing_file_and_missing_release_say_so(store: SmallS3, objects: Objects) -> None:
    release = build_release(store, "damaged", INPUTS)
    manifest = json.loads(store.objects[LAYOUT.release(release)])
    del store.objects[LAYOUT.blob(manifest["files"]["model.onnx"]["sha256"])]

    with pytest.raises(PerennialError, match="no such object"):
        load_release(objects, LAYOUT, release, Limits())
    with pytest.raises(RefusedError, match="There is no release"):
        load_release(objects, LAYOUT, "2013-09-09-000000000000", Limits())
    with pytest.raises(RefusedError, match="not a valid release name"):
        load_release(objects, LAYOUT, "../active", Limits())


@pytest.fixture
def follower(store: SmallS3, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server of pipeline `small` in a store of its own objects, before any release."""
    for name in [name for name in store.objects if "/main/follow/" in name]:
        del store.objects[name]
    with ServerProcess(store, "follow") as server:
        server.wait_until("/v2/health/live", 200)
        yield server


def serves(server: ServerProcess, release: str) -> None:
    server.wait_until(f"/v2/models/follow/versions/{release}/ready", 200)


def test_server_is_live_before_a_release_and_keeps_the_old_when_the_new_fails(store: SmallS3, follower: ServerProcess) -> None:
    assert follower.get("/v2/health/ready").status == 503
    assert follower.predict([RECORD]).status == 503

    first = build_release(store, "follow", INPUTS, name="first")
    point_at(store, "follow", first)
    serves(follower, first)

    point_at(store, "follow", build_release(store, "follow", INPUTS, name="broken", damage={"model.onnx": b"x"}))
    deadline = time.monotonic() + 10
    while "load_failures_total 1.0" not in follower.get("/metrics").body.decode() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "load_failures_total 1.0" in follower.get("/metrics").body.decode()
    assert "first keeps serving" in follower.log()
    assert follower.predict([RECORD]).json()["release"] == first

    store.down, before = True, store.failed
    deadline = time.monotonic() + 10
    while store.failed == before:
        assert time.monotonic() < deadline, "the server does not ask the store"
        time.sleep(0.02)
    assert follower.predict([RECORD]).status == 200
    store.down = False
    point_at(store, "follow", build_release(store, "follow", INPUTS, name="third"))
    serves(follower, "third")


def test_swaps_under_load_fail_no_request_and_mix_no_releases(store: SmallS3, follower: ServerProcess) -> None:
    names = ["swap-a", "swap-b"]
    for bias, name in enumerate(names):
        build_release(store, "follow", INPUTS, name=name, bias=float(bias))
    point_at(store, "follow", "swap-a")
    serves(follower, "swap-a")
    answers: list[tuple[str, str, tuple[float, ...]]] = []
    failures: list[str] = []
    stop = threading.Event()

    def load(rows: int) -> None:
        message = request("POST", "/predict", json.dumps([RECORD] * rows).encode())
        with follower.connect() as connection:
            stream = connection.makefile("rb")
            while not stop.is_set():
                connection.sendall(message)
                answer = read_response(stream)
                if answer.status != 200:
                    failures.append(f"{answer.status} {answer.body[:200]!r}")
                    return
                document = answer.json()
                probabilities = {prediction["probability"] for prediction in document["predictions"]}
                answers.append((document["release"], answer.headers["x-release"], tuple(probabilities)))

    threads = [threading.Thread(target=load, args=(rows,)) for rows in (1, 1, 500)]
    for thread in threads:
        thread.start()
    for turn in range(1, 6):
        point_at(store, "follow", names[turn % 2])
        serves(follower, names[turn % 2])
    stop.set()
    for thread in threads:
        thread.join(timeout=20)

    assert failures == []
    assert {release for release, _, _ in answers} == set(names)
    assert all(release == header and len(probabilities) == 1 for release, header, probabilities in answers)
    by_release = {release: {probabilities for name, _, probabilities in answers if name == release} for release in names}
    assert all(len(found) <= 2 for found in by_release.values())  # one row and 500 rows may differ in the last bit
    assert not by_release["swap-a"] & by_release["swap-b"]


def test_one_release_is_served_exactly_or_not_at_all(store: SmallS3) -> None:
    release = build_release(store, "exact", INPUTS)
    with ServerProcess(store, "exact", "--release", release) as server:
        server.wait_ready()
        assert server.predict([RECORD]).json()["release"] == release
    with ServerProcess(store, "exact", "--release", "2013-09-09-000000000000") as server:
        assert server.process.wait(timeout=30) == 65
        assert "There is no release" in server.log()


def test_model_that_answers_with_no_number_is_a_4xx(store: SmallS3) -> None:
    largest = 3.4e38  # times the graph's scale: infinite; with the same sign or the other, one sum is inf - inf
    release = build_release(store, "overflow", INPUTS, scale=1e10)
    with ServerProcess(store, "overflow", "--release", release) as server:
        server.wait_ready()
        answers = [server.predict([{**RECORD, "distance": largest, "temp": temp}]) for temp in (largest, -largest)]
        assert sorted(answer.status for answer in answers) == [200, 422]
        assert any(b"not a finite number" in answer.body for answer in answers)
