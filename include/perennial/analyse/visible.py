"""The dates that each query sees: the rows of the view `dates`, and the first and last date of its clean tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class VisibleRange:
    """The rows of the view `dates`, and the first and last clean date that a query may see."""

    dates: tuple[tuple[date, date], ...]
    first: date
    last: date


def range_of_dates(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of analyses: each date knows its own data, so its as_of is the midnight after it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day + _DAY) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_features(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of features: their own date's data, and lookups as of the midnight before it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_labels(days: Iterable[str], lookback_days: int, known_after_days: int) -> VisibleRange:
    """Return the visible range of labels: later days too, up to as_of, the midnight at which the labels are known."""
    wanted, later = sorted(date.fromisoformat(day) for day in days), _DAY * known_after_days
    dates = tuple((day, day + later + _DAY) for day in wanted)
    return VisibleRange(dates, wanted[0] - _DAY * lookback_days, wanted[-1] + later)


def range_of_lookups(as_ofs: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of lookups as of these midnights: the days before, without the day that begins."""
    wanted = sorted(date.fromisoformat(as_of) for as_of in as_ofs)
    return VisibleRange(tuple((as_of - _DAY, as_of) for as_of in wanted), wanted[0] - _DAY * lookback_days, wanted[-1] - _DAY)
