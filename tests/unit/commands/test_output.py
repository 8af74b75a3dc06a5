"""The texts that commands share."""

from __future__ import annotations

from datetime import date

import pytest

from perennial.calendar import DataDays
from perennial.commands.output import format_dates, print_table

WEEKDAYS = DataDays(weekdays=frozenset(range(5)))


def dates(*days: int) -> list[date]:
    return [date(2013, 1, day) for day in days]


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ([], ""),
        ([12], "2013-01-12"),
        ([12, 4, 3, 5], "2013-01-03 to 2013-01-05, 2013-01-12"),
        ([4, 7], "2013-01-04, 2013-01-07"),
        ([1, 3, 5, 7, 9, 11, 12, 14], "2013-01-01, 2013-01-03, 2013-01-05, 2013-01-07, 2013-01-09, and 3 more dates"),
        ([1, 3, 5, 7, 9, 11], "2013-01-01, 2013-01-03, 2013-01-05, 2013-01-07, 2013-01-09, and 1 more date"),
    ],
    ids=str,
)
def test_dates_are_told_as_ranges(days: list[int], text: str) -> None:
    assert format_dates(dates(*days)) == text


def test_a_range_goes_on_after_rest_dates() -> None:
    """The 4th is a Friday and the 7th a Monday."""
    assert format_dates(dates(3, 4, 7, 8, 10), WEEKDAYS) == "2013-01-03 to 2013-01-08, 2013-01-10"


def test_a_cell_with_line_feeds_imitates_no_other_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("column", "a\nb"), [("x\ny\tz", "1")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["column", "a\\nb"], ["x\\ny\\tz", "1"]]
