"""Dates as a person passes them from Python."""

from __future__ import annotations

from datetime import date, datetime, time

from perennial.calendar import parse_date
from perennial.errors import DateRefusedError


def read_date(value: date | str) -> date:
    """
    Return a date from text (YYYY-MM-DD), a date, or a midnight such as a pandas Timestamp.

    :raises DateRefusedError: for anything else, also for a time of day, which has no unambiguous date
    """
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, datetime):
        # pandas' NaT is a datetime that differs from itself.
        if value == value and value.tzinfo is None and value.time() == time():
            return value.date()
    elif isinstance(value, date):
        return value
    raise DateRefusedError(f"{value!r} is not a date", remedy="Pass text such as '2013-02-12', or a datetime.date.")


def read_range(first: date | str, last: date | str | None) -> tuple[date, date]:
    """Return the first and the last date of a range, both included; without `last` it is one date."""
    begin = read_date(first)
    end = begin if last is None else read_date(last)
    if end < begin:
        raise DateRefusedError(f"The last date {end} is before the first date {begin}", remedy="Pass the earlier date first.")
    return begin, end
