"""The dates of a pipeline: what a run of date D may know, needs and is judged on. Pure: nothing here reads a clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from perennial.errors import DateRefusedError

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The dates of one pipeline. All lengths are in days; `end` is None for a pipeline that goes on."""

    pipeline: str
    time_zone: ZoneInfo
    start: date
    end: date | None
    window_days: int
    holdout_days: int
    lookback_days: int
    min_days: int

    def check(self, day: date) -> date:
        """Return `day`, or raise DateRefusedError when it lies outside start..end."""
        if day < self.start or (self.end is not None and day > self.end):
            raise DateRefusedError(
                f"Pipeline {self.pipeline!r}: {day} is outside its dates {self.start} to {self.end or 'today'}",
                remedy="Choose a date in that range, or change start and end in pipeline.yaml.",
            )
        return day

    def check_begun(self, day: date, now: datetime) -> date:
        """
        Return `day`, or raise DateRefusedError when it lies outside start..end or has not begun.

        A decision of a future date would stand above those of all real ones.
        """
        if self.check(day) > self.local_date(now):
            raise DateRefusedError(
                f"Pipeline {self.pipeline!r}: {day} is in the future, today is {self.local_date(now)} in {self.time_zone}",
                remedy="Choose a date that has ended.",
            )
        return day

    def needed_dates(self, day: date) -> list[date]:
        """Return, in order, every date whose clean data a run of `day` may use: window, holdout and their lookback."""
        first = day - DAY * (self.window_days + self.holdout_days + self.lookback_days - 1)
        return list(days(max(first, self.start), day))

    def split(self, day: date, landed: Iterable[date]) -> Split:
        """
        Split the landed dates up to `day` into the training window and the holdout.

        The holdout is the last `holdout_days` landed dates, wherever gaps lie, within the reach of the needed history; the
        window is the landed dates among the `window_days` calendar days before the first day of the holdout.
        """
        earliest = self.feature_dates(day)[0]
        known = sorted(d for d in set(landed) if earliest <= d <= day)
        holdout = known[-self.holdout_days :]
        if not holdout:
            return Split((), (), self.min_days)
        window_start = holdout[0] - DAY * self.window_days
        window = [d for d in known if window_start <= d < holdout[0]]
        return Split(tuple(window), tuple(holdout), self.min_days)

    def feature_dates(self, day: date) -> list[date]:
        """Return, in order, the dates whose features a run of `day` may train or judge on (window and holdout)."""
        first = day - DAY * (self.window_days + self.holdout_days - 1)
        return list(days(max(first, self.start), day))

    def lookback(self, as_of: date) -> list[date]:
        """Return the dates that lookups of `as_of` (a midnight) may read: the `lookback_days` before it, cut at start."""
        return list(days(max(as_of - DAY * self.lookback_days, self.start), as_of - DAY))

    def local_date(self, instant: datetime) -> date:
        """Return the date of an aware instant in the pipeline's time zone."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant!r} has no time zone")
        return instant.astimezone(self.time_zone).date()

    def run_date(self, *, param: str | None, interval_start: datetime | None, run_after: datetime, manual: bool) -> date:
        """
        Return the date D that a run belongs to; the only place that computes it.

        Manual runs take the typed param `date`; without it min(end, the local day before `run_after`). Scheduled and backfill
        runs take the local date of the start of their data interval. A D outside start..end, or in the future, is refused.
        """
        if param is not None:
            return self.check_begun(parse_date(param), run_after)
        if not manual and interval_start is not None:
            return self.check_begun(self.local_date(interval_start), run_after)
        yesterday = self.local_date(run_after) - DAY
        return self.check(yesterday if self.end is None else min(self.end, yesterday))


@dataclass(frozen=True, slots=True)
class Split:
    """The dates that a run trains and judges on, in order."""

    window: tuple[date, ...]
    holdout: tuple[date, ...]
    min_days: int

    @property
    def days(self) -> int:
        """Return the number of landed dates in window and holdout."""
        return len(self.window) + len(self.holdout)

    @property
    def too_little(self) -> str | None:
        """Return the reason not to train ('12 of 30 days'), or None when there is enough history."""
        if self.days >= self.min_days and self.window:
            return None
        return f"{self.days} of {self.min_days} days"


def as_of(day: date) -> date:
    """Return the midnight (as its date) up to which a run of `day` knows data: the start of the next day."""
    return day + DAY


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """
    Return the first instant of a local day, in UTC.

    Where daylight saving skips midnight it is the moment of the change; where midnight comes twice, the first of them.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def days(first: date, last: date) -> Iterator[date]:
    """Yield every date from `first` to `last`, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def parse_date(text: str) -> date:
    """Parse exactly YYYY-MM-DD in ASCII digits, or raise DateRefusedError."""
    if _ISO_DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise DateRefusedError(f"{text!r} is not a date", remedy="Write it as YYYY-MM-DD, for example 2013-02-12.")
