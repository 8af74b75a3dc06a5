"""The dates on which a feed lands, and those on which it rests: weekdays and holidays. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY, _WEEK = timedelta(days=1), 7


@dataclass(frozen=True, slots=True)
class DataDays:
    """The weekdays that have data (0 is Monday; at least one), and the holidays, which have none."""

    weekdays: frozenset[int] = frozenset(range(_WEEK))
    holidays: frozenset[date] = frozenset()

    @property
    def is_daily(self) -> bool:
        """Tell whether every date has data."""
        return len(self.weekdays) == _WEEK and not self.holidays

    def rests(self, day: date) -> bool:
        """Tell whether the feed rests on a date."""
        return day.weekday() not in self.weekdays or day in self.holidays

    def dates(self, first: date, last: date) -> list[date]:
        """Return, in order, the dates with data from `first` to `last`, both included."""
        return [day for day in _span(first, last) if not self.rests(day)]

    def rest_dates(self, first: date, last: date) -> list[date]:
        """Return, in order, the dates without data from `first` to `last`, both included."""
        return [] if self.is_daily else [day for day in _span(first, last) if self.rests(day)]

    def newest(self, day: date) -> date:
        """Return the newest date with data up to `day`, which may be `day` itself."""
        while self.rests(day):
            day -= _DAY
        return day

    def after(self, day: date) -> date:
        """Return the first date with data after `day`."""
        day += _DAY
        while self.rests(day):
            day += _DAY
        return day

    def before(self, day: date, count: int) -> date:
        """Return the date that lies `count` dates with data before `day`; for 0 it is `day` itself."""
        if self.is_daily:
            return day - _DAY * count
        for _ in range(count):
            day = self.newest(day - _DAY)
        return day

    def most_within(self, length: int) -> int:
        """Return the largest number of dates with data that `length` successive days can hold, holidays aside."""
        weeks, left = divmod(length, _WEEK)
        return weeks * len(self.weekdays) + max(
            sum((first + offset) % _WEEK in self.weekdays for offset in range(left)) for first in range(_WEEK)
        )


EVERY_DAY = DataDays()


def _span(first: date, last: date) -> list[date]:
    return [date.fromordinal(ordinal) for ordinal in range(first.toordinal(), last.toordinal() + 1)]
