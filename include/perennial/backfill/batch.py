"""Work ahead: in a backfill the run of one date does the stages of those that follow, so that one start serves many dates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import takewhile

from perennial.calendar import DAY, Calendar
from perennial.collect.drops import complete_dates
from perennial.lake.lake import Lake

MAX_DATES = 60
"""A chunk: what one Spark job and one training process take on, in dates with data."""


def chunks(calendar: Calendar, landed: Iterable[date]) -> list[list[date]]:
    """Return the stretches that are worked on at once: no date with data is missing in one, at most MAX_DATES."""
    stretches: list[list[date]] = []
    for day in sorted(landed):
        if stretches and calendar.data_days.after(stretches[-1][-1]) == day and len(stretches[-1]) < MAX_DATES:
            stretches[-1].append(day)
        else:
            stretches.append([day])
    return stretches


def last_ahead(lake: Lake, day: date, until: date | None) -> date:
    """
    Return the last date of the chunk that begins with `day`: at most MAX_DATES, none after `until`.

    It ends before the first date that has not landed: what lands later must find nothing that was made without it. It ends today
    too, whatever has landed: a decision of a future date would stand above those of all real ones.
    """
    calendar = lake.pipeline.calendar
    last = min(until or day, max(day, calendar.local_date(datetime.now(UTC))))
    ahead = calendar.dates(day + DAY, last)[: MAX_DATES - 1]
    whole = complete_dates(lake, ahead)
    return [day, *takewhile(whole.__contains__, ahead)][-1]
