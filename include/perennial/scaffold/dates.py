"""The dates of a new pipeline: the column that has them, and how much history there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from perennial.calendar import WEEKDAYS, DataDays
from perennial.config.values import FIRST_DAY, LAST_DAY
from perennial.errors import RefusedError
from perennial.scaffold.cells import local_date
from perennial.scaffold.columns import Column
from perennial.scaffold.sample import Sample

FULL_DAYS = 42
"""Dates from which on the defaults of training and gate fit."""

_MIN_SPAN = 21
_FLOORS = {"rows": 100, "positives": 20}


@dataclass(frozen=True, slots=True)
class Dates:
    """Rows by date, in order of date."""

    rows: dict[date, int]

    @property
    def first(self) -> date:
        """Return the first date."""
        return min(self.rows)

    @property
    def last(self) -> date:
        """Return the last date."""
        return max(self.rows)

    @property
    def weekdays(self) -> list[str]:
        """Return the weekdays with data if others never had any, else an empty list."""
        found = {day.weekday() for day in self.rows}
        is_long = (self.last - self.first).days >= _MIN_SPAN
        return [WEEKDAYS[number] for number in sorted(found)] if is_long and len(found) < len(WEEKDAYS) else []

    def training(self) -> dict[str, int]:
        """Return the settings of `training` that suit this history."""
        count = len(self.rows)
        data_days = DataDays(frozenset(WEEKDAYS.index(name) for name in self.weekdays or WEEKDAYS))
        share = count / len(data_days.dates(self.first, self.last))  # less than 1 if dates are missing
        is_long = count >= FULL_DAYS
        holdout = min(7, round(35 * share) // 3) if is_long else min(7, count // 4)
        holdout = max(1, holdout)
        window = 28 if is_long else max(1, min(28, (self.last - self.first).days + 1 - holdout))
        likely = round((data_days.max_within(window) + holdout) * share)
        min_days = min(30, likely * 3 // 4) if is_long else likely * 2 // 3
        return {"window_days": window, "holdout_days": holdout, "min_days": max(2, min_days), "lookback_days": 28}

    def floors(self, positive_share: float) -> dict[str, int]:
        """Return the floors of the gate that the holdout of this history can reach."""
        rows = sum(self.rows.values()) / len(self.rows) * self.training()["holdout_days"]
        expected = {"rows": rows, "positives": rows * positive_share}
        return {
            name: floor if expected[name] >= 2 * floor else max(1, int(expected[name] / 2)) for name, floor in _FLOORS.items()
        }


def choose_date_column(columns: Sequence[Column], wanted: Column | None, formats: dict[str, str]) -> Column:
    """
    Return the column with the date of each row; refuse a choice that is not clear.

    :param formats: by header, the form of a column that looks like dates and that no type reads
    """
    remedy = "Write dates as YYYY-MM-DD, or put {date} into the pattern where the names of the files have the date."
    if wanted is not None:
        if wanted.type not in ("date", "timestamp"):
            example = next(iter(wanted.counts), "")
            raise RefusedError(f"{wanted.header!r} is no column of dates, found {example!r}", remedy=remedy)
        if wanted.nulls:
            raise RefusedError(
                f"{wanted.header!r}: {wanted.nulls} rows of the sample have no date", remedy="Leave these rows out."
            )
        return wanted
    found = [column for column in columns if column.type in ("date", "timestamp") and not column.nulls and column.distinct]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(column.header) for column in found)
        raise RefusedError(f"{len(found)} columns have dates: {names}", remedy="Name the one of the row's date: --date-column.")
    looks = [f"{header!r} has dates of the form {form}, which no type reads" for header, form in formats.items()]
    raise RefusedError("No column has a date in each row", looks, remedy)


def read_days(sample: Sample, column: Column | None, index: int, zone: ZoneInfo) -> list[date | None]:
    """Return the date of each row of a sample; refuse a date that no pipeline can have."""
    if column is None:
        return list(sample.days)
    known: dict[str, date | None] = {}
    for text in column.counts:
        known[text] = day = local_date(column.type, text, zone)
        if day is None or not FIRST_DAY <= day <= LAST_DAY:
            raise RefusedError(f"{column.header!r}: {text!r} is outside the dates {FIRST_DAY} to {LAST_DAY}")
    return [known[text] for text in sample.cells(index)]


def count_dates(days: Sequence[date | None], seen: int) -> Dates:
    """Return the dates of a sample, with rows as in all that was read to choose it."""
    counts = Counter(day for day in days if day is not None)
    return Dates({day: round(counts[day] * seen / len(days)) for day in sorted(counts)})


def describe_dates(dates: Dates) -> dict[str, Any]:
    """Return the dates as JSON."""
    return {"first": dates.first.isoformat(), "last": dates.last.isoformat(), "dates": len(dates.rows)}
