"""The stage collect: what it pins, what it leaves, and that running again, or twice at once, changes nothing."""

from __future__ import annotations

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lab import FixedTables

from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect import accept
from perennial.collect.collect import collect
from perennial.collect.drops import check_manifest, complete_dates, landed_drops, manifest_bytes, pinned_drop
from perennial.collect.landing import pin
from perennial.errors import DateRefusedError, DropChangedError, DropRefusedError, PerennialError
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome
from perennial.lake.tables import Partition, TableState
from perennial.store.content_name import sha256
from perennial.store.objects import Listed

FIRST = date(2026, 3, 1)
DAY = date(2026, 3, 4)


def _replace(lake: Lake, s3, machine_data, day: date, files: dict[str, bytes]) -> None:
    folder = lake.pipeline.sources["readings"].drop_uri(day)
    for uri in list(s3.objects.list(folder)):
        s3.delete(uri)
    for name, body in {**files, "_MANIFEST.json": machine_data.manifest(day, files)}.items():
        s3.put(folder + name, body)


def test_pins_the_day_and_its_history(lake, land) -> None:
    land(FIRST, DAY)
    assert collect(lake, DAY).to_json() == {
        "outcome": "done",
        "date": "2026-03-04",
        "rows_landed": {"readings": 200},
        "pinned": 4,
        "new": 4,
        "gaps": {},
        "at_rest": [],
        "warnings": [],
    }


def test_second_run_is_unchanged(lake, land) -> None:
    land(FIRST, DAY)
    first = collect(lake, DAY)
    second = collect(lake, DAY)
    assert second == replace(first, outcome=Outcome.UNCHANGED, new=0)


def test_pinned_bytes_are_those_that_landed(lake, s3, land, machine_data) -> None:
    land(DAY, DAY)
    collect(lake, DAY)
    drop = pinned_drop(lake, "readings", DAY)
    manifest, _ = check_manifest(manifest_bytes(lake, "readings", DAY), "readings", DAY)
    assert drop is not None
    assert manifest is not None
    assert drop.digest == manifest.digest
    assert {file.name: s3.objects.read(file.uri).body for file in drop.files} == machine_data.files(DAY)
    assert [file.uri for file in drop.files] == [
        f"{lake.layout.root}/raw/{manifest.files[0].sha256}.csv",
        f"{lake.layout.root}/raw/{manifest.files[1].sha256}.csv.gz",
    ]


def test_missing_and_refused_dates_before_are_gaps(lake, s3, land, machine_data) -> None:
    land(FIRST, date(2026, 3, 2))
    land(DAY, DAY)
    _replace(lake, s3, machine_data, FIRST, {"a.csv": b""})
    result = collect(lake, DAY)
    assert result.gaps == {"2026-03-01": "readings: refused: a.csv is empty (0 bytes)", "2026-03-03": "readings: not landed"}
    found = landed_drops(lake, "readings", lake.pipeline.calendar.needed_dates(DAY))
    assert {day: landed.drop is not None for day, landed in found.items()} == {FIRST: False, date(2026, 3, 2): True, DAY: True}


def test_replaced_drop_is_a_new_input(lake, s3, land, machine_data) -> None:
    land(DAY, DAY)
    collect(lake, DAY)
    before = pinned_drop(lake, "readings", DAY)
    _replace(lake, s3, machine_data, DAY, {"a.csv": machine_data.csv_bytes(machine_data.rows(DAY)[:120])})
    assert pinned_drop(lake, "readings", DAY) is None
    assert collect(lake, DAY).outcome == "done"
    after = pinned_drop(lake, "readings", DAY)
    assert (before.rows, after.rows) == (200, 120)
    assert before.digest != after.digest


def test_refused_drop_is_not_read_again_until_it_changes(lake, s3, land, machine_data, monkeypatch) -> None:
    reads = []
    stream = accept.stream
    monkeypatch.setattr(accept, "stream", lambda objects, file: reads.append(file.uri) or stream(objects, file))
    land(DAY, DAY)
    bad = date(2026, 3, 3)
    body = machine_data.csv_bytes(machine_data.rows(bad))
    _replace(lake, s3, machine_data, bad, {"a.csv": body.replace(b"mode", b"modus", 1)})
    assert "2026-03-03" in collect(lake, DAY).gaps
    reads.clear()
    assert "renamed to 'modus'" in collect(lake, DAY).gaps["2026-03-03"]
    assert not reads
    _replace(lake, s3, machine_data, bad, {"a.csv": body})
    assert "2026-03-03" not in collect(lake, DAY).gaps
    assert len(reads) == 1


def test_file_repaired_under_the_same_manifest_is_seen(lake, s3, machine_data) -> None:
    files = machine_data.files(DAY)
    folder = lake.pipeline.sources["readings"].drop_uri(DAY)
    for name, body in {**files, "readings-1.csv": b"x" * len(files["readings-1.csv"])}.items():
        s3.put(folder + name, body)
    s3.put(folder + "_MANIFEST.json", machine_data.manifest(DAY, files))
    with pytest.raises(DropRefusedError, match="sha256"):
        collect(lake, DAY)
    s3.put(folder + "readings-1.csv", files["readings-1.csv"])
    assert collect(lake, DAY).outcome == "done"


def test_file_replaced_while_it_is_read_is_not_pinned(lake, s3, land, monkeypatch) -> None:
    land(DAY, DAY)
    folder = lake.pipeline.sources["readings"].drop_uri(DAY)

    def replace_then_pin(objects, file: Listed, to: str, digest: str) -> None:
        s3.put(folder + "readings-1.csv", b"evil")
        pin(objects, file, to, digest)

    monkeypatch.setattr(accept, "pin", replace_then_pin)
    with pytest.raises(DropChangedError, match="was replaced or deleted while it was read"):
        collect(lake, DAY)
    assert pinned_drop(lake, "readings", DAY) is None
    assert not [uri for uri in s3.objects.list(f"{lake.layout.root}/raw/") if s3.objects.read(uri).body == b"evil"]


def test_file_replaced_by_one_with_the_same_etag_is_not_pinned(lake, s3, land, monkeypatch) -> None:
    """An ETag is an MD5, so upstream can make such files. A copy without its condition stands for a copy of one."""
    land(DAY, DAY)
    file = lake.pipeline.sources["readings"].drop_uri(DAY) + "readings-1.csv"
    good = s3.objects.read_existing(file).body
    client, etags = lake.objects.client, []

    def forget_condition(params: dict[str, Any], **_: Any) -> None:
        if params.pop("CopySourceIfMatch", None) and params["CopySource"].endswith("readings-1.csv"):
            etags.append(s3.objects.head(file).etag)
            s3.put(file, good.replace(b"1", b"2"))

    client.meta.events.register("before-parameter-build.s3.CopyObject", forget_condition)
    try:
        with pytest.raises(DropChangedError, match="was replaced or deleted while it was read"):
            collect(lake, DAY)
    finally:
        client.meta.events.unregister("before-parameter-build.s3.CopyObject", forget_condition)

    assert etags, "nothing was exchanged"
    for uri in s3.objects.list(f"{lake.layout.root}/raw/"):
        assert sha256(s3.objects.read(uri).body) in uri
    assert pinned_drop(lake, "readings", DAY) is None
    s3.put(file, good)
    assert collect(lake, DAY).outcome == "done"


def test_damaged_copy_of_an_interrupted_run_is_found_and_made_again(lake, s3, land) -> None:
    land(DAY, DAY)
    file = lake.pipeline.sources["readings"].drop_uri(DAY) + "readings-1.csv"
    copy = lake.layout.raw(sha256(s3.objects.read_existing(file).body), ".csv")
    s3.put(copy, b"damaged")
    with pytest.raises(DropChangedError):
        collect(lake, DAY)
    assert collect(lake, DAY).outcome == "done"
    assert s3.objects.read(copy).body == s3.objects.read(file).body


def test_two_runs_at_once_pin_one_drop(lake, s3, land) -> None:
    land(FIRST, DAY)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: collect(lake, DAY), range(2)))
    assert {result.pinned for result in results} == {4}
    assert len(list(s3.objects.list(f"{lake.layout.root}/drops/"))) == 1
    assert len(list(s3.objects.list(f"{lake.layout.root}/raw/"))) == 8


def test_quotes_blank_lines_and_several_gzip_members_are_fine(lake, s3, machine_data) -> None:
    lines = machine_data.rows(DAY)
    text = machine_data.csv_bytes([*lines[:99], '1,"M\n""01"",",2026-03-04T00:00:00Z,1.0,2.0,idle,', "", "2,x"])
    body = gzip.compress(text[:700]) + gzip.compress(text[700:])
    folder = lake.pipeline.sources["readings"].drop_uri(DAY)
    s3.put(folder + "a.csv.gz", body)
    listed = {"name": "a.csv.gz", "size": len(body), "sha256": sha256(body), "rows": 101}
    s3.put(folder + "_MANIFEST.json", machine_data.manifest(DAY, {}, files=[listed]))
    assert collect(lake, DAY).rows_landed == {"readings": 101}


def test_accepted_drop_counts_only_while_it_fits_the_contract(lake, s3, land, pipeline_factory) -> None:
    land(DAY, DAY)
    collect(lake, DAY)

    def add_column(document) -> None:
        document["sources"]["readings"]["columns"]["humidity"] = {"type": "double"}

    changed = s3.open_lake(pipeline_factory(add_column))
    assert pinned_drop(changed, "readings", DAY) is None
    with pytest.raises(DropRefusedError, match="column 'humidity' is missing"):
        collect(changed, DAY)


def test_date_outside_the_pipeline_is_refused(lake) -> None:
    with pytest.raises(DateRefusedError):
        collect(lake, date(2026, 2, 28))


def test_large_file_is_read_in_bounded_time(lake, s3, machine_data) -> None:
    lines = [f"{index},M01,2026-03-04T00:00:00Z,{index * 0.37 % 90:.2f},8,idle,true" for index in range(200_000)]
    _replace(lake, s3, machine_data, DAY, {"a.csv.gz": gzip.compress(machine_data.csv_bytes(lines), 1)})
    started = time.process_time()
    assert collect(lake, DAY).rows_landed == {"readings": 200_000}
    assert time.process_time() - started < 5


def test_manifest_replaced_after_it_was_listed_is_not_accepted(lake, s3, land, machine_data, monkeypatch) -> None:
    land(DAY, DAY)
    read = accept.read_listed

    def replace_then_read(objects, listed: Listed, max_bytes: int) -> bytes:
        _replace(lake, s3, machine_data, DAY, {"a.csv": machine_data.csv_bytes(machine_data.rows(DAY)[:120])})
        return read(objects, listed, max_bytes)

    monkeypatch.setattr(accept, "read_listed", replace_then_read)
    with pytest.raises(DropChangedError, match="was replaced or deleted while it was read"):
        collect(lake, DAY)
    monkeypatch.undo()
    assert collect(lake, DAY).rows_landed == {"readings": 120}


def test_drop_that_comes_back_is_still_accepted(lake, s3, land, machine_data, monkeypatch) -> None:
    land(DAY, DAY)
    collect(lake, DAY)
    before = pinned_drop(lake, "readings", DAY)
    _replace(lake, s3, machine_data, DAY, {"a.csv": machine_data.csv_bytes(machine_data.rows(DAY)[:120])})
    collect(lake, DAY)
    _replace(lake, s3, machine_data, DAY, machine_data.files(DAY))
    assert pinned_drop(lake, "readings", DAY) == before
    assert collect(lake, DAY).outcome == "unchanged"


def test_dates_over_the_end_of_a_month_register_beside_each_other(lake, land) -> None:
    last = date(2026, 4, 2)
    land(date(2026, 3, 30), last)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda day: collect(lake, day), [last, date(2026, 3, 31), date(2026, 4, 1), date(2026, 3, 30)]))
    found = landed_drops(lake, "readings", lake.pipeline.calendar.needed_dates(last))
    assert [day.day for day, landed in found.items() if landed.drop] == [30, 31, 1, 2]


def test_whole_dates_are_those_whose_manifest_is_one(lake, s3, land) -> None:
    land(FIRST, date(2026, 3, 2))
    land(DAY, DAY)
    collect(lake, DAY)
    s3.put(lake.pipeline.sources["readings"].drop_uri(date(2026, 3, 3)) + "_MANIFEST.json", b"{}")
    assert complete_dates(lake, [*lake.pipeline.calendar.needed_dates(DAY), date(2026, 3, 5)]) == {FIRST, date(2026, 3, 2), DAY}


def test_half_an_old_drop_and_half_a_new_one_is_nobodys_refusal(lake, s3, land, machine_data, monkeypatch) -> None:
    land(DAY, DAY)
    listed = accept.list_data

    def replace_then_list(objects, folder: str) -> dict[str, Listed]:
        _replace(lake, s3, machine_data, DAY, {"readings-1.csv": machine_data.csv_bytes(machine_data.rows(DAY)[:120])})
        return listed(objects, folder)

    monkeypatch.setattr(accept, "list_data", replace_then_list)
    with pytest.raises(DropChangedError):
        collect(lake, DAY)
    monkeypatch.undo()
    assert not list(s3.objects.list(f"{lake.layout.root}/refused/"))
    assert collect(lake, DAY).rows_landed == {"readings": 120}


@pytest.mark.parametrize(
    "page",
    [
        b"{",
        b"[" * 100_000,
        b'{"format": 1, "days": {"2026-03-04": {"v": {"digest": "d", "files": [], "rows": 1, "columns": [], "dialect": {}}}}}',
        b'{"format": 1, "days": {"2026-03-04": {"v": {"digest": "d", "files": [{}], "rows": 1, "columns": [], "dialect": {}}}}}',
        b'{"format": 1, "days": {"2026-03-04": {"v": {"digest": "d", "files": [], "rows": "x", "columns": [], "dialect": {}}}}}',
        b'{"format": 1, "days": {"soon": {"v": {}}}}',
    ],
)
def test_damaged_page_of_the_register_is_named_and_made_anew_when_deleted(lake, s3, land, page: bytes) -> None:
    land(DAY, DAY)
    collect(lake, DAY)
    uri = lake.layout.register("readings", "2026-03")
    s3.put(uri, page)
    with pytest.raises(
        PerennialError, match=r"2026-03\.json is damaged .* Delete it: the drops are checked and registered again"
    ):
        collect(lake, DAY)
    s3.delete(uri)
    assert collect(lake, DAY).new == 1


def test_record_that_does_not_fit_is_made_anew(lake, s3, land) -> None:
    land(DAY, DAY)
    collect(lake, DAY)
    uri = lake.layout.register("readings", "2026-03")
    s3.put(uri, s3.objects.read(uri).body.replace(b'"rows":200', b'"rows":0'))
    assert pinned_drop(lake, "readings", DAY) is None
    assert collect(lake, DAY).new == 1
    assert collect(lake, DAY).new == 0


def test_what_landed_after_collect_withdraws_nothing(lake, s3, land, machine_data) -> None:
    land(FIRST, DAY)
    collect(lake, DAY)
    table = clean_state(lake, [FIRST, date(2026, 3, 2), date(2026, 3, 3), DAY])
    cleaned = replace(lake, tables=FixedTables({"clean_readings": table}))
    assert plan_clean(cleaned, DAY).todo == 0
    _replace(lake, s3, machine_data, FIRST, {"a.csv": machine_data.csv_bytes(machine_data.rows(FIRST)[:120])})
    assert plan_clean(cleaned, DAY).todo == 0
    assert finish_clean(cleaned, DAY).kept == [FIRST.isoformat()]
    _replace(lake, s3, machine_data, FIRST, {"a.csv": b""})
    assert collect(lake, DAY).gaps == {FIRST.isoformat(): "readings: refused: a.csv is empty (0 bytes)"}
    assert plan_clean(cleaned, DAY).todo == 1  # the refused one withdraws what stood there


def clean_state(lake: Lake, wanted: list[date]) -> TableState:
    """Return the state of a table in which these dates are clean."""
    jobs = lake.objects.read_existing(plan_clean(replace(lake, tables=FixedTables()), wanted[-1]).job_uri or "").json()
    keys = {day: item["key"] for day, item in jobs["tables"][0]["days"].items()}
    return TableState(
        "clean_readings", None, None, {d.isoformat(): Partition(keys[d.isoformat()], "digest", 200) for d in wanted}
    )
