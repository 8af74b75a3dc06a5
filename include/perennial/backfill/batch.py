"""Batches: in a backfill, the run of one date also computes the dates after it, so that one start serves many dates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import takewhile

from perennial.calendar import DAY, Calendar
from perennial.collect.drops import complete_dates
from perennial.lake.lake import Lake

MAX_DATES = 60
"""Maximum size of a batch, which one Spark job and one training process compute, in dates with data."""


def split_batches(calendar: Calendar, landed: Iterable[date]) -> list[list[date]]:
    """Split dates into batches of at most MAX_DATES. No date with data is missing inside a batch."""
    batches: list[list[date]] = []
    for day in sorted(landed):
        if batches and calendar.data_days.after(batches[-1][-1]) == day and len(batches[-1]) < MAX_DATES:
            batches[-1].append(day)
        else:
            batches.append([day])
    return batches


def last_ahead(lake: Lake, day: date, until: date | None) -> date:
    """
    Return the last date of the batch that begins with `day`: at most MAX_DATES, and no date after `until`.

    The batch ends before the first date that has not landed, so that no result is computed without a drop that lands later.
    It also ends today, even if later dates have landed: a decision of a future date would outrank all real dates.
    """
    calendar = lake.pipeline.calendar
    last = min(until or day, max(day, calendar.local_date(datetime.now(UTC))))
    ahead = calendar.dates(day + DAY, last)[: MAX_DATES - 1]
    complete = complete_dates(lake, ahead)
    return [day, *takewhile(complete.__contains__, ahead)][-1]
