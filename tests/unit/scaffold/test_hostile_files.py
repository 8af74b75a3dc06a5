"""Hostile files through `perennial new --land`: every cell lands once and exact, or one clear sentence refuses the files."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hostile_files import EXACT, HEADER, NAMES, NOTES, REFUSED, ROWS, Files, Rows, exact_files, make_rows, refused_files, write

from perennial.cli import run_command
from perennial.collect.content import read_content
from perennial.config.load import read_pipeline
from perennial.scaffold.cells import local_date

Call = Callable[..., tuple[int, dict[str, Any]]]
Land = Callable[..., tuple[int, dict[str, Any], Rows]]
_numbers = count()


@pytest.fixture
def land(call: Call, place: Path, s3, monkeypatch: pytest.MonkeyPatch) -> Land:
    """Return a function that makes a pipeline of files and lands them: the exit code, the answer, and the landed rows."""
    monkeypatch.setattr("perennial.commands.new.lake_of", s3.open_lake)  # one client for all: to make it is half of a test

    def run(files: Files, *options: str) -> tuple[int, dict[str, Any], Rows]:
        for name, body in files.items():
            path = place.parent / "exports" / name
            path.parent.mkdir(exist_ok=True)
            if body.startswith(b"->"):
                path.symlink_to(body[2:].decode())
            else:
                path.write_bytes(body)
        name = f"hostile_{next(_numbers)}"
        code, answer = call(name, "--from", "exports/*", "--label", "late", "--land", *options)
        return code, answer, [] if code else landed_rows(s3, place / name)

    return run


def landed_rows(s3, folder: Path) -> Rows:
    """Return all rows that landed, as Python's csv reads them; collect accepts their files, and each is in its date."""
    source = read_pipeline(folder / "pipeline.yaml").sources["records"]
    rows = []
    for uri in s3.objects.list(source.uri.partition("{date}")[0]):
        if uri.endswith(".json"):
            continue
        body = s3.objects.read_existing(uri).body
        assert read_content([body], compressed=True, max_bytes=2**30, dialect=source.csv).problems == []
        text = gzip.decompress(body).decode(source.csv.encoding).removeprefix("\ufeff")
        dialect = {"doublequote": source.csv.escape is None, "escapechar": source.csv.escape, "delimiter": source.csv.delimiter}
        _, *found = csv.reader(io.StringIO(text, newline=""), quotechar=source.csv.quote, strict=True, **dialect)
        day = uri.partition("date=")[2][:10]
        whole = [row for row in found if len(row) == len(source.columns)]
        assert all(str(local_date("timestamp" if "T" in row[1] else "date", row[1], ZoneInfo("UTC"))) == day for row in whole)
        rows += [row for row in found if row]
    return rows


@pytest.mark.parametrize("case", EXACT)
def test_files_that_are_hard_to_read_land_exactly(land, case: str) -> None:
    files, rows = exact_files(case)
    code, answer, landed = land(files)
    assert (code, sorted(landed)) == (0, sorted(rows)), answer


@pytest.mark.parametrize("note", NOTES, ids=lambda note: ascii(note[:20]))
def test_cells_that_are_hard_to_write_land_exactly(land, note: str) -> None:
    rows = make_rows(note)
    code, answer, landed = land({"a.csv": write(rows).encode()})
    assert (code, sorted(landed)) == (0, sorted(rows)), answer


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_names_that_are_hard_to_use_land_exactly(land, place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer, landed = land({"a.csv": write(ROWS, [name if word == "note" else word for word in HEADER]).encode()})
    assert (code, sorted(landed)) == (0, sorted(ROWS)), answer
    assert run_command(["validate", answer["pipeline"], "--json"]) == 0
    columns = read_pipeline(place / answer["pipeline"] / "pipeline.yaml").sources["records"].columns
    assert [column.header or key for key, column in columns.items()][3] == name


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_cannot_be_used_are_one_sentence(land, place: Path, case: str) -> None:
    files, words = refused_files(case)
    options = ["--time-zone", "America/New_York"] if case == "year 1 far west" else []
    code, answer, _ = land(files, *options)
    assert (code, words in answer["error"]) == (1, True), answer
    assert "Error:" not in answer["error"]
    assert len(answer["error"]) < 700
    assert not place.exists() or list(place.iterdir()) == []
