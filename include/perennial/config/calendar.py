"""The contract of a feed's calendar: the weekdays on which it lands, and the holidays on which it does not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perennial.calendar import WEEKDAYS, DataDays
from perennial.config.contract import Contract
from perennial.config.values import Day, Distinct, Some

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class FeedCalendar(Contract):
    """Which dates have data. It is the pipeline's: all sources land on the same dates."""

    weekdays: Some[Weekday] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    holidays: Annotated[Distinct[Day], Field(max_length=2000)] = []
    """Dates without data; those on a weekday that rests, or outside start and end, change nothing."""

    @property
    def data_days(self) -> DataDays:
        """Return the dates with data as the calendar of a run takes them."""
        return DataDays(frozenset(WEEKDAYS.index(name) for name in self.weekdays), frozenset(self.holidays))
