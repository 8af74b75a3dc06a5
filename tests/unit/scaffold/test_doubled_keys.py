"""`perennial new` on rows with doubled keys: the nearest combination, an example, and the hour that clocks repeat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from scaffold_orders import csv_text

from perennial.cli import run_command
from perennial.scaffold.cells import is_repeated

Call = Callable[..., tuple[int, dict[str, Any]]]
FIRST = datetime(2026, 10, 10)
NEW = ("hours", "--from", "exports/*.csv", "--label", "late")
DOUBLED = "1 of 601 rows have the key of an earlier row of their date"


def write(place: Path, doubled: datetime, form: str, header: str) -> None:
    """Write a row for each of 600 hours, and a second one for one of them."""
    hours = [FIRST + timedelta(hours=n) for n in range(600)]
    rows = [[*hour.strftime(form).split(","), n * n % 100 / 7, n % 5 == 0] for n, hour in enumerate(sorted([*hours, doubled]))]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, header))


@pytest.mark.parametrize(
    ("form", "header", "near"),
    [
        ("%Y-%m-%dT%H:%M:%S", "at,size,late", "at"),
        ("%Y-%m-%d,%H:%M", "day,at,size,late", "at"),
        ("%Y-%m-%d,%-H", "day,hour,size,late", "hour"),
    ],
    ids=["timestamp", "time", "hour"],
)
@pytest.mark.parametrize("zone", [[], ["--time-zone", "Europe/Berlin"]], ids=["no zone", "zone"])
def test_a_doubled_hour_at_the_clock_change_is_named(
    call: Call, place: Path, form: str, header: str, near: str, zone: list[str]
) -> None:
    write(place, datetime(2026, 10, 25, 2), form, header)
    code, answer = call(*NEW, *zone)
    assert code == 1
    rows = "exports/a.csv row 363 and exports/a.csv row 364"
    assert f"the nearest is {near}: {DOUBLED}, such as {rows} ({near} '" in answer["error"]
    assert "they are of the hour that Europe/Berlin has twice, as clocks are set back" in answer["error"]
    assert ("if that is the time zone of the data" in answer["error"]) is (not zone)
    assert f"With --key {near}, the later of these rows go to quarantine" in answer["error"]


def test_another_doubled_hour_is_no_clock_change(call: Call, place: Path) -> None:
    write(place, datetime(2026, 10, 24, 2), "%Y-%m-%dT%H:%M:%S", "at,size,late")
    code, answer = call(*NEW, "--time-zone", "Europe/Berlin")
    assert (code, DOUBLED in answer["error"], "clocks" in answer["error"]) == (1, True, False)


def test_rows_that_a_key_sends_to_quarantine_are_printed(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place, datetime(2026, 10, 24, 2), "%Y-%m-%dT%H:%M:%S", "at,size,late")
    assert run_command(["new", *NEW, "--key", "at"]) == 0
    said = capsys.readouterr().out
    assert f"? {DOUBLED}, such as exports/a.csv row 339 and exports/a.csv row 340 (at '2026-10-24T02:00:00')" in said
    assert "clean sends the later ones to quarantine" in said


def test_the_nearest_combination_of_many_doubled_rows_has_no_key_to_copy(call: Call, place: Path) -> None:
    rows = [[date(2026, 1, 1) + timedelta(days=n // 40), n % 10, "ab"[n % 2], n / 7, n % 3 == 0] for n in range(1200)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "day,shop,kind,amount,late"))
    code, answer = call(*NEW)
    assert code == 1
    assert "the nearest is shop: 900 of 1200 rows have the key of an earlier row of their date" in answer["error"]
    assert "With --key" not in answer["error"]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-10-25T02:30:00", "Europe/Berlin", True),
        ("2026-10-25T02:30:00+02:00", "Europe/Berlin", False),
        ("2026-10-25T03:00:00", "Europe/Berlin", False),
        ("2026-03-29T02:30:00", "Europe/Berlin", False),
        ("2026-10-25T02:30:00", "UTC", False),
        ("2026-11-01 01:59", "America/New_York", True),
        ("0001-01-01T00:00:00", "Europe/Berlin", False),
        ("9999-12-31T23:59:00", "Europe/Berlin", False),
        ("noon", "Europe/Berlin", False),
    ],
)
def test_local_times_that_happen_twice(text: str, zone: str, expected: bool) -> None:
    assert is_repeated(text, ZoneInfo(zone)) is expected
