"""The contract of a feed's calendar: the weekdays on which it lands, and the holidays on which it does not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perennial.calendar import WEEKDAYS, DataDays
from perennial.config.contract import Contract
from perennial.config.values import Day, Distinct, Some

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class FeedCalendar(Contract):
    """The dates that have data. There is one calendar for each pipeline: all sources land on the same dates."""

    weekdays: Some[Weekday] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    holidays: Annotated[Distinct[Day], Field(max_length=2000)] = []
    """Dates without data. Holidays on a weekday without data, or outside start and end, have no effect."""

    @property
    def data_days(self) -> DataDays:
        """Return the dates with data in the form that the calendar of a run uses."""
        return DataDays(frozenset(WEEKDAYS.index(name) for name in self.weekdays), frozenset(self.holidays))
