"""Large lookups: the answers of small ones, from a file that only its server can open and that is gone with its release."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_process import ServerProcess
from serve_release_builder import RECORD, build_release, inputs_of, large_file, lookups_of, point_at
from serve_small_s3 import SmallS3

from perennial.errors import PerennialError, RefusedError
from perennial.lake.layout import Layout
from perennial.serve import follow
from perennial.serve.app import App
from perennial.serve.follow import Follower
from perennial.serve.limits import Limits
from perennial.serve.metrics import Metrics
from perennial.serve.release import load_release
from perennial.serve.trust import TrustMetric
from perennial.store.content_name import canonical_json, sha256
from perennial.store.objects import Objects

INPUTS = inputs_of("small")
LAYOUT = Layout("s3://perennial", "main", "small")
RECORDS = [
    RECORD,
    {**RECORD, "tailnum": None},
    {**RECORD, "tailnum": "N2", "carrier": "ÉÅ"},
    {**RECORD, "origin": "origin1", "carrier": "carrier1", "tailnum": "tailnum2"},
    {**RECORD, "origin": "origin1", "carrier": "carrier2"},
]


@pytest.fixture
def objects(store: SmallS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Objects:
    (tmp_path / "scratch").mkdir()
    for name, value in {**store.environment, "PERENNIAL_SCRATCH": str(tmp_path / "scratch")}.items():
        monkeypatch.setenv(name, value)
    return Objects()


@pytest.fixture
def serving(store: SmallS3, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of a release with large lookups, which follows the pointer."""
    point_at(store, "small", build_release(store, "small", INPUTS, name="first", large=True))
    (tmp_path / "scratch").mkdir()
    with ServerProcess(store, "small", PERENNIAL_SCRATCH=str(tmp_path / "scratch")) as server:
        server.wait_release("first")
        yield server


def mapped_files(server: ServerProcess, folder: Path) -> list[str]:
    lines = Path(f"/proc/{server.process.pid}/maps").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


def anonymous_mib(server: ServerProcess) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))) / 1024


def test_the_answers_are_those_of_small_lookups(store: SmallS3, objects: Objects) -> None:
    small, large = (
        load_release(objects, LAYOUT, build_release(store, "small", INPUTS, name=f"r{large}", large=large), Limits())
        for large in (False, True)
    )
    assert large.model.answer(RECORDS) == small.model.answer(RECORDS)
    assert large.model.answer(RECORDS).unseen == [(), (), ("carrier", "tailnum"), ("carrier",), ("origin", "carrier")]


def test_no_other_process_can_open_the_file(serving: ServerProcess, tmp_path: Path) -> None:
    files = mapped_files(serving, tmp_path)
    assert len(files) == len(INPUTS.lookups)
    assert all(line.endswith("(deleted)") and " r--s " in line for line in files)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_file_goes_with_its_release(store: SmallS3, serving: ServerProcess, tmp_path: Path) -> None:
    for number in range(3):
        name = f"next{number}"
        point_at(store, "small", build_release(store, "small", INPUTS, name=name, large=True, lookup_rows=5 + number))
        serving.wait_release(name)
        assert serving.predict(RECORDS).status == 200
    deadline = time.monotonic() + 10
    while len(mapped_files(serving, tmp_path)) > len(INPUTS.lookups) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(mapped_files(serving, tmp_path)) == len(INPUTS.lookups)
    point_at(store, "small", build_release(store, "small", INPUTS, name="last"))
    serving.wait_release("last")
    deadline = time.monotonic() + 10
    while mapped_files(serving, tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mapped_files(serving, tmp_path) == []


@pytest.mark.parametrize("change", [lambda body: body[:-1] + b"\0", lambda body: body + b"\0", lambda body: body[:-1]])
def test_a_changed_file_is_refused_before_it_is_mapped(
    store: SmallS3, objects: Objects, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = build_release(store, "small", INPUTS, name="tampered", large=True)
    files = json.loads(store.objects[LAYOUT.release(release)])["files"]
    for address in (LAYOUT.blob(file["sha256"]) for name, file in files.items() if name.endswith(".table")):
        monkeypatch.setitem(store.objects, address, change(store.objects[address]))

    def map_nothing(_: Any) -> None:
        pytest.fail("it was mapped")

    monkeypatch.setattr("perennial.serve.release.map_file", map_nothing)
    with pytest.raises(RefusedError, match="expected"):
        load_release(objects, LAYOUT, release, Limits())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        large_file(lookups_of(INPUTS)["route_rates"]),
        large_file(lookups_of(INPUTS)["tail_rates"]).replace(b"\x01", b"\x02"),
    ],
    ids=["empty", "nonsense", "another lookup", "other keys"],
)
def test_a_file_that_is_no_such_lookup_is_refused(store: SmallS3, objects: Objects, body: bytes) -> None:
    release = build_release(store, "small", INPUTS, name="other", large=True)
    manifest = json.loads(store.objects[LAYOUT.release(release)])
    manifest["files"]["lookups/tail_rates.table"] = {"sha256": sha256(body), "size": len(body)}
    store.objects[LAYOUT.blob(sha256(body))] = body
    store.objects[LAYOUT.release(release)] = canonical_json(manifest)
    with pytest.raises(RefusedError, match=r"'other'|'tail_rates'"):
        load_release(objects, LAYOUT, release, Limits())


def test_a_server_that_is_killed_in_the_middle_of_the_download_leaves_nothing(store: SmallS3, tmp_path: Path) -> None:
    release = build_release(store, "small", INPUTS, name="killed", large=True, lookup_rows=50_000)
    store.stalled = json.loads(store.objects[LAYOUT.release(release)])["files"]["lookups/tail_rates.table"]["sha256"]
    scratch = {"PERENNIAL_SCRATCH": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    try:
        with ServerProcess(store, "small", "--release", release, **scratch) as server:
            assert store.halves.acquire(timeout=20)
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
    finally:
        store.stalled = ""
    assert list((tmp_path / "scratch").iterdir()) == []
    with (
        ServerProcess(store, "small", "--release", release, **scratch) as first,
        ServerProcess(store, "small", "--release", release, **scratch) as second,
    ):
        for server in (first, second):
            server.wait_ready()
            assert server.predict(RECORDS).status == 200


def test_on_a_full_disk_the_old_release_serves_on_and_the_new_one_follows(
    store: SmallS3, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_RETRY_SECONDS", 0.0)
    app = App("small", Metrics("small"), Limits())
    follower = Follower(app, objects, LAYOUT, Limits(), TrustMetric(app.metrics.registry))
    point_at(store, "small", build_release(store, "small", INPUTS, name="before"))
    follower.follow_once()
    point_at(store, "small", build_release(store, "small", INPUTS, name="after", large=True))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # the kernel refuses larger files, as on a full disk
    try:
        with pytest.raises(PerennialError, match=r"cannot keep a temporary file of .* set PERENNIAL_SCRATCH") as found:
            load_release(objects, LAYOUT, "after", Limits())
        follower.follow_once()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found.value.retryable, "no version is to blame"
    assert app.release
    assert app.release.id == "before"
    follower.follow_once()
    assert app.release.id == "after"


def test_the_memory_of_a_server_does_not_grow_with_the_keys(store: SmallS3, tmp_path: Path) -> None:
    found = {}
    for rows, large in ((3, False), (200_000, True)):
        release = build_release(store, "small", INPUTS, name=f"rows{rows}", large=large, lookup_rows=rows)
        with ServerProcess(store, "small", "--release", release, PERENNIAL_SCRATCH=str(tmp_path)) as server:
            server.wait_ready()
            asked = [{**RECORD, "tailnum": f"tailnum{number}"} for number in range(1, 3_000)]
            assert server.predict(asked).status == 200
            found[rows] = anonymous_mib(server)
    assert found[200_000] < found[3] + 15
