"""`perennial new` on files with torn rows: few are named and land where clean quarantines them, many refuse the files."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import FIRST, csv_text

from perennial.cli import run_command
from perennial.scaffold.dates import Dates

Call = Callable[..., tuple[int, dict[str, Any]]]
HEADER = "id,day,size,late"
ROWS = [[n, FIRST + timedelta(days=n // 40), n % 7, n % 5 == 0] for n in range(1200)]
LINES = csv_text(ROWS, HEADER).splitlines(keepends=True)


@pytest.fixture
def landed(s3) -> Iterator[Callable[[], dict[str, list[list[str]]]]]:
    """Return a function that reads the landed rows by date; the landing zone is empty at the end."""

    def read() -> dict[str, list[list[str]]]:
        found = {}
        for uri in s3.objects.list("s3://landing/torn/records/"):
            if uri.endswith(".csv.gz"):
                text = gzip.decompress(s3.objects.read_existing(uri).body).decode()
                found[uri.split("date=")[1][:10]] = list(csv.reader(io.StringIO(text)))[1:]
        return found

    yield read
    for uri in list(s3.objects.list("s3://landing/torn/")):
        s3.delete(uri)


def write(place: Path, *torn: tuple[int, str]) -> None:
    """Write the rows with torn ones behind the rows of these numbers."""
    lines = list(LINES)
    for number, text in sorted(torn, reverse=True):
        lines.insert(number + 1, text)
    (place.parent / "exports" / "a.csv").write_text("".join(lines))


@pytest.mark.parametrize("number", [0, 7, 1200], ids=["first", "middle", "last"])
def test_a_torn_row_is_named(call: Call, place: Path, number: int) -> None:
    write(place, (number, "7,2026\n"))
    code, answer = call("torn", "--from", "exports/*.csv", "--label", "late")
    assert code == 0, answer
    row = f"exports/a.csv: row {number + 1} has 2 cells, expected 4 as in the header"
    assert answer["notes"] == [f"{row}: clean sends torn rows to quarantine (rule cells)"]


def test_a_torn_row_lands_with_the_row_before_it(call: Call, place: Path, landed) -> None:
    write(place, (0, "early\n"), (50, f"7,{FIRST + timedelta(days=9)}\n"))
    code, answer = call("torn", "--from", "exports/*.csv", "--label", "late", "--land")
    assert code == 0, answer
    rows = landed()
    assert sum(map(len, rows.values())) == answer["landing"]["rows"] == 1202
    assert rows[str(FIRST)][0] == ["early"]
    assert rows[str(FIRST + timedelta(days=1))][10] == ["7", "2026-01-10"]


def test_torn_rows_of_dated_files_are_named_and_land_as_they_are(call: Call, place: Path, landed) -> None:
    for offset in range(30):
        lines = LINES[1 + offset * 40 : 41 + offset * 40] + ["7\n"] * (offset == 3)
        (place.parent / "exports" / f"{FIRST + timedelta(days=offset)}.csv").write_text(LINES[0] + "".join(lines))
    code, answer = call("torn", "--from", "exports/{date}.csv", "--label", "late", "--land")
    assert (code, answer["landing"]["rows"]) == (0, 1201), answer
    assert "exports/2026-01-04.csv: row 41 has 1 cells, expected 4" in answer["notes"][0]


def test_a_date_with_more_torn_rows_than_quarantine_takes_is_named(
    call: Call, place: Path, landed, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place, *[(60, "7\n")] * 5)
    assert run_command(["new", "torn", "--from", "exports/*.csv", "--label", "late", "--land"]) == 0
    said = capsys.readouterr().out
    assert "row 63 has 1 cells, expected 4 as in the header, and 2 more: clean sends torn rows to quarantine" in said
    assert f"than max_quarantine_share (0.05) allows: {FIRST + timedelta(days=1)} (5 of 45). Clean refuses" in said


def test_many_torn_rows_refuse_the_files(call: Call, place: Path) -> None:
    write(place, *[(number * 10, "7,8\n") for number in range(120)])
    code, answer = call("torn", "--from", "exports/*.csv", "--label", "late")
    assert code == 1
    assert "row 1 has 2 cells, expected 4 as in the header; 120 of 1320 rows of the sample are torn" in answer["error"]
    assert "Mend these rows" in answer["error"]


@pytest.mark.parametrize(("rows", "share"), [(1000, 0.05), (40, 0.05), (14, 0.15), (3, 0.5)])
def test_two_bad_rows_refuse_no_date_of_few_rows(rows: int, share: float) -> None:
    assert Dates({FIRST: 1000, FIRST + timedelta(days=1): rows}).quarantine_share == share
