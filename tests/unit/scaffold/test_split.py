"""`perennial new --land`: each row lands once, as it is, in the drop of its local date."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import DAYS, FIRST, ROWS, csv_text, orders

from perennial.collect.collect import collect
from perennial.config.load import read_pipeline
from perennial.lake.lake import Lake

Call = Callable[..., tuple[int, dict[str, Any]]]
NEW = ("returns", "--from", "exports/*.csv", "--label", "returned", "--land")


@pytest.fixture
def clear(s3) -> Callable[[Path], Lake]:
    """Return a function that opens the lake of a folder, and let the landing zone be empty before and after."""

    def delete() -> None:
        for uri in list(s3.objects.list("s3://landing/returns/")):
            s3.delete(uri)

    delete()
    yield lambda folder: s3.open_lake(read_pipeline(folder / "pipeline.yaml"))
    delete()


def landed_rows(lake: Lake, encoding: str = "utf-8", **dialect: Any) -> dict[date, list[list[str]]]:
    """Return the rows of each drop, as Python reads them."""
    found = {}
    for uri in lake.objects.list("s3://landing/returns/records/"):
        if uri.endswith(".csv.gz"):
            text = gzip.decompress(lake.objects.read_existing(uri).body).decode(encoding)
            found[date.fromisoformat(uri.split("date=")[1][:10])] = list(csv.reader(io.StringIO(text, newline=""), **dialect))[1:]
    return found


def test_every_row_lands_once_in_the_drop_of_its_date(
    call: Call, place: Path, clear: Callable[[Path], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.scaffold.split.MAX_BUFFER", 10_000)
    rows = orders()
    shuffled = [row for start in range(7) for row in rows[start::7]]
    (place.parent / "exports" / "a.csv").write_text(csv_text(shuffled[:1500]))
    (place.parent / "exports" / "b.csv").write_text(csv_text(shuffled[1500:]))
    code, answer = call(*NEW)
    assert (code, len(answer["landing"]["landed"]), answer["landing"]["rows"]) == (0, DAYS, DAYS * ROWS)
    assert len(answer["next"]) == 3
    lake = clear(place / "returns")
    found = landed_rows(lake)
    expected: dict[date, list[list[str]]] = {}
    for row in shuffled:
        expected.setdefault(date.fromisoformat(row[1][:10]), []).append([str(cell) for cell in row])
    assert found == expected
    assert collect(lake, FIRST + timedelta(days=DAYS - 1)).rows_landed == {"records": ROWS}

    shutil.rmtree(place / "returns")
    code, answer = call(*NEW)  # after an interruption the same command goes on
    assert (code, len(answer["landing"]["unchanged"])) == (0, DAYS)


def test_a_timestamp_belongs_to_the_local_date_of_the_time_zone(call: Call, place: Path, clear: Callable[[Path], Lake]) -> None:
    times = [
        f"2026-01-{day:02}T{clock}" for day in range(5, 25) for clock in ("00:30:00Z", "23:30:00Z", "23:30:00", "00:30+03:00")
    ]
    rows = [[n, times[n % len(times)], n % 7, n % 3 == 0] for n in range(len(times) * 5)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,at,size,returned"))
    assert call(*NEW, "--time-zone", "Europe/Berlin")[0] == 0
    days = {row[1]: str(day) for day, rows in landed_rows(clear(place / "returns")).items() for row in rows}
    assert days["2026-01-05T00:30:00Z"] == "2026-01-05"
    assert days["2026-01-05T23:30:00Z"] == "2026-01-06"
    assert days["2026-01-05T23:30:00"] == "2026-01-05"
    assert days["2026-01-05T00:30+03:00"] == "2026-01-04"


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16"])
def test_records_keep_their_bytes_in_another_dialect(
    call: Call, place: Path, clear: Callable[[Path], Lake], encoding: str
) -> None:
    rows = [[n, FIRST + timedelta(days=n // 20), f'München; "{n % 5}"', n % 7, n % 3 == 0] for n in range(600)]
    text = csv_text(rows, "Order Id,day,town,size,returned", delimiter=";")
    (place.parent / "exports" / "a.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    code, answer = call(*NEW)
    assert (code, answer["landing"]["rows"]) == (0, 600), answer
    lake = clear(place / "returns")
    found = [row for _, rows in sorted(landed_rows(lake, encoding, delimiter=";").items()) for row in rows]
    assert found == [[str(cell) for cell in row] for row in rows]
    assert collect(lake, FIRST + timedelta(days=29)).rows_landed == {"records": 20}


def test_files_of_one_date_each_land_as_they_are(call: Call, place: Path, clear: Callable[[Path], Lake]) -> None:
    for offset in range(30):
        rows = [[n, n % 7, n % 5 == 0] for n in range(40)]
        (place.parent / "exports" / f"{FIRST + timedelta(days=offset)}.csv").write_text(csv_text(rows, "id,size,returned"))
    (place.parent / "exports" / "latest.csv").write_text("id,size,returned\n")
    code, answer = call("returns", "--from", "exports/{date}.csv", "--label", "returned", "--land")
    assert answer["ignored"] == ["exports/latest.csv"]
    assert (code, len(answer["landing"]["landed"]), answer["landing"]["rows"]) == (0, 30, 1200)
    uri = f"s3://landing/returns/records/date={FIRST}/{FIRST}.csv"
    assert clear(place / "returns").objects.read_existing(uri).body == (place.parent / "exports" / f"{FIRST}.csv").read_bytes()


@pytest.mark.parametrize("cell", ["", "soon", "2026-02-30", "1901-01-01"])
def test_a_row_without_a_date_is_named_and_nothing_lands(
    call: Call, place: Path, clear: Callable[[Path], Lake], monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.setattr("perennial.scaffold.sample.MAX_CHARACTERS", 5000)  # the sample does not see the row
    rows: list[list[Any]] = [[n, FIRST + timedelta(days=n // 40), n % 7, n % 5 == 0] for n in range(1200)]
    rows[1000][1] = cell
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,size,returned"))
    code, answer = call(*NEW)
    assert code == 1
    assert f"exports/a.csv: row 1001 has no date in the years of a pipeline, found {cell!r}" in answer["error"]
    assert not (place / "returns").exists()


def test_a_stack_that_is_down_is_said_before_the_files_are_read(call: Call, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert call(*NEW) == (1, {"error": "The stack is down: `make up`."})


def test_a_landing_zone_that_holds_other_drops_refuses_the_pipeline(
    call: Call, place: Path, clear: Callable[[Path], Lake], s3
) -> None:
    days = [FIRST + timedelta(days=n) for n in range(3)]
    rows = [[n, days[n % 3], n % 7, n % 5 == 0] for n in range(40)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,size,returned"))
    for day in days:
        s3.put(f"s3://landing/returns/records/date={day}/other.csv", b"mine")
    code, answer = call(*NEW)
    assert (code, "already holds other files: other.csv" in answer["error"]) == (1, True)
    assert list(place.iterdir()) == []


def test_a_full_disk_is_said(call: Call, place: Path, clear: Callable[[Path], Lake], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("perennial.scaffold.split._flush", fail)
    (place.parent / "exports" / "a.csv").write_text(csv_text(orders()))
    code, answer = call(*NEW)
    assert (code, "No space left on device. Set TMPDIR to a larger disk" in answer["error"]) == (1, True), answer
    assert not place.exists() or list(place.iterdir()) == []
