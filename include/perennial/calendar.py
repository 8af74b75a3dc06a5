"""The dates of a pipeline: those that a run of date D may know, needs and is judged on. Pure: nothing here reads a clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from perennial.errors import DateRefusedError

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DAY = timedelta(days=1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = 7


@dataclass(frozen=True, slots=True)
class DataDays:
    """The weekdays that have data (0 is Monday; at least one), and the holidays, which have none."""

    weekdays: frozenset[int] = frozenset(range(_WEEK))
    holidays: frozenset[date] = frozenset()

    @property
    def is_daily(self) -> bool:
        """Return whether every date has data."""
        return len(self.weekdays) == _WEEK and not self.holidays

    def rests(self, day: date) -> bool:
        """Return whether a date is a rest date."""
        return day.weekday() not in self.weekdays or day in self.holidays

    def dates(self, first: date, last: date) -> list[date]:
        """Return the dates with data from `first` to `last`, both included, in order."""
        return [day for day in _span(first, last) if not self.rests(day)]

    def rest_dates(self, first: date, last: date) -> list[date]:
        """Return the dates without data from `first` to `last`, both included, in order."""
        return [] if self.is_daily else [day for day in _span(first, last) if self.rests(day)]

    def newest(self, day: date) -> date:
        """Return the newest date with data that is not after `day`."""
        while self.rests(day):
            day -= DAY
        return day

    def after(self, day: date) -> date:
        """Return the first date with data after `day`."""
        day += DAY
        while self.rests(day):
            day += DAY
        return day

    def before(self, day: date, count: int) -> date:
        """Go back `count` dates with data from `day`; 0 returns `day` itself."""
        if self.is_daily:
            return day - DAY * count
        for _ in range(count):
            day = self.newest(day - DAY)
        return day

    def max_within(self, length: int) -> int:
        """Return the largest number of dates with data that `length` consecutive days can hold, ignoring holidays."""
        weeks, rest = divmod(length, _WEEK)
        return weeks * len(self.weekdays) + max(
            sum((first + offset) % _WEEK in self.weekdays for offset in range(rest)) for first in range(_WEEK)
        )


EVERY_DAY = DataDays()


@dataclass(frozen=True, slots=True)
class Calendar:
    """
    The dates of one pipeline; `end` is None if the pipeline has no last date.

    `window_days` and `lookback_days` count calendar days. `holdout_days` and `min_days` count landed dates.
    """

    pipeline: str
    time_zone: ZoneInfo
    start: date
    end: date | None
    window_days: int
    holdout_days: int
    lookback_days: int
    min_days: int
    data_days: DataDays = EVERY_DAY
    known_after_days: int = 0
    """Calendar days until the labels of a date are known: a run of D trains and judges on dates up to D minus these."""

    def check(self, day: date) -> date:
        """Return `day`; raise DateRefusedError if it is outside start..end. Rest dates pass."""
        if not self._belongs(day):
            raise DateRefusedError(
                f"Pipeline {self.pipeline!r}: {day} is outside its dates {self.start} to {self.end or 'today'}",
                remedy="Choose a date in that range, or change start and end in pipeline.yaml.",
            )
        return day

    def check_begun(self, day: date, now: datetime) -> date:
        """
        Return `day`; raise DateRefusedError if it is outside start..end or has not begun.

        A decision for a future date would take precedence over those of all real dates.
        """
        if self.check(day) > self.local_date(now):
            raise DateRefusedError(
                f"Pipeline {self.pipeline!r}: {day} is in the future, today is {self.local_date(now)} in {self.time_zone}",
                remedy="Choose a date that has ended.",
            )
        return day

    def check_data(self, day: date) -> date:
        """Return `day`; raise DateRefusedError if it is outside start..end or a rest date."""
        if self.data_days.rests(self.check(day)):
            raise self.refuse_rest(f"{day} is a rest date ({self._why_rest(day)})", day, day)
        return day

    def check_run(self, day: date, now: datetime) -> date:
        """Return `day`; raise DateRefusedError if it cannot be run (see check_data and check_begun)."""
        return self.check_data(self.check_begun(day, now))

    def refuse_rest(self, what: str, first: date, last: date) -> DateRefusedError:
        """Build the error for the rest dates `first` to `last`; it names the nearest dates with data before and after them."""
        before, after = self.data_days.newest(first - DAY), self.data_days.after(last)
        around = [f"{day} {side}" for day, side in ((before, "before"), (after, "after")) if self._belongs(day)]
        nearest = " and ".join(around) or "outside start and end"
        return DateRefusedError(
            f"Pipeline {self.pipeline!r}: {what}; the nearest dates with data are {nearest}",
            remedy="Choose a date with data, or change calendar in pipeline.yaml.",
        )

    def _belongs(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day <= self.end)

    def _why_rest(self, day: date) -> str:
        return "a holiday" if day.weekday() in self.data_days.weekdays else f"{day:%A}"

    def dates(self, first: date, last: date) -> list[date]:
        """Return the dates with data from `first` to `last`, both included, in order."""
        return self.data_days.dates(first, last)

    def as_of(self, day: date) -> date:
        """
        Return the midnight (as its date) before which a run of `day` knows data: the start of the next date with data.

        The lookups of a release are therefore the ones that the features of the next date join.
        """
        return self.data_days.after(day)

    def needed_from(self, day: date) -> date:
        """Return the first calendar day whose clean data a run of `day` may use: the start of the lookback of its window."""
        return max(self.features_from(day, cut=False) - DAY * self.lookback_days, self.start)

    def needed_dates(self, day: date, until: date | None = None) -> list[date]:
        """Return every date with data whose clean data a run of `day`, or of a date up to `until`, may use, in order."""
        return self.dates(self.needed_from(day), until or day)

    def split(self, day: date, landed: Iterable[date]) -> Split:
        """
        Split the landed dates whose labels a run of `day` knows into the training window and the holdout.

        The holdout is the last `holdout_days` landed dates in the needed history; gaps do not count.
        The window is the landed dates among the `window_days` calendar days before the first day of the holdout.
        """
        earliest, known_until = self.features_from(day), self.labelled_until(day)
        known = sorted(d for d in set(landed) if earliest <= d <= known_until and not self.data_days.rests(d))
        holdout, later = known[-self.holdout_days :], known_until if self.known_after_days else None
        if not holdout:
            return Split((), (), self.min_days, later)
        window_start = holdout[0] - DAY * self.window_days
        window = [d for d in known if window_start <= d < holdout[0]]
        return Split(tuple(window), tuple(holdout), self.min_days, later)

    def labelled_until(self, day: date) -> date:
        """Return the last date whose labels a run of `day` knows."""
        return day - DAY * self.known_after_days

    def features_from(self, day: date, *, cut: bool = True) -> date:
        """
        Return the first calendar day whose features a run of `day` may train or judge on; with `cut`, not before start.

        It is `window_days` before the holdout. The holdout is counted in dates with data and ends with the last date whose
        labels are known.
        """
        last = self.data_days.newest(self.labelled_until(day))
        first = self.data_days.before(last, self.holdout_days - 1) - DAY * self.window_days
        return max(first, self.start) if cut else first

    def feature_dates(self, day: date) -> list[date]:
        """Return the dates with data whose features a run of `day` builds, in order: window, holdout, dates up to `day`."""
        return self.dates(self.features_from(day), day)

    def local_date(self, instant: datetime) -> date:
        """Return the date of an aware instant in the pipeline's time zone."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant!r} has no time zone")
        return instant.astimezone(self.time_zone).date()

    def run_date(self, *, param: str | None, interval_start: datetime | None, run_after: datetime, manual: bool) -> date:
        """
        Return the date D that a run belongs to. No other code computes it.

        Manual runs take the param `date`. Without it they take the newest date with data up to `end` and up to the local day
        before `run_after`. Scheduled and backfill runs take the local date on which their data interval starts.

        :raises DateRefusedError: when D is outside start..end, in the future, or a rest date
        """
        if param is not None:
            return self.check_run(parse_date(param), run_after)
        if not manual and interval_start is not None:
            return self.check_run(self.local_date(interval_start), run_after)
        yesterday = self.local_date(run_after) - DAY
        return self.check(self.data_days.newest(yesterday if self.end is None else min(self.end, yesterday)))


@dataclass(frozen=True, slots=True)
class Split:
    """The dates that a run trains and judges on, in order."""

    window: tuple[date, ...]
    holdout: tuple[date, ...]
    min_days: int
    known_until: date | None = None
    """The last date whose labels are known; None if labels come with the rows."""

    @property
    def days(self) -> int:
        """Return the number of landed dates in window and holdout."""
        return len(self.window) + len(self.holdout)

    @property
    def too_little(self) -> str | None:
        """Return the reason not to train ('12 of 30 days'), or None if there is enough history."""
        if self.days >= self.min_days and self.window:
            return None
        known = f" whose labels are known (up to {self.known_until})" if self.known_until else ""
        return f"{self.days} of {self.min_days} days{known}"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """
    Return the first instant of a local day, in UTC.

    If daylight saving skips midnight, it is the moment of the change. If midnight occurs twice, it is the first.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def days(first: date, last: date) -> Iterator[date]:
    """Yield every date from `first` to `last`, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def parse_date(text: str) -> date:
    """Parse a date in the form YYYY-MM-DD (ASCII digits only), or raise DateRefusedError."""
    if _ISO_DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise DateRefusedError(f"{text!r} is not a date", remedy="Write it as YYYY-MM-DD, for example 2013-02-12.")


def _span(first: date, last: date) -> list[date]:
    return [date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1)]
