"""Work ahead: in a backfill the run of one date does the stages of those that follow, so that one start serves many dates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from perennial.calendar import DAY, days
from perennial.collect.drops import whole_dates
from perennial.lake.lake import Lake

MOST_DATES = 60
"""A chunk: what one Spark job and one training process take on."""


def chunks(landed: Iterable[date]) -> list[list[date]]:
    """Return the stretches that are worked on at once: no gap in one, at most MOST_DATES."""
    stretches: list[list[date]] = []
    for day in sorted(landed):
        if stretches and day - stretches[-1][-1] == DAY and len(stretches[-1]) < MOST_DATES:
            stretches[-1].append(day)
        else:
            stretches.append([day])
    return stretches


def last_ahead(lake: Lake, day: date, until: date | None) -> date:
    """
    Return the last date of the chunk that begins with `day`: at most MOST_DATES, none after `until`.

    It ends before the first date that has not landed: what lands later must find nothing that was made without it. It ends today
    too, whatever has landed: a decision of a future date would stand above those of all real ones.
    """
    today = lake.pipeline.calendar.local_date(datetime.now(UTC))
    last = min(until or day, day + DAY * (MOST_DATES - 1), max(day, today))
    ahead = list(days(day + DAY, last))
    whole = whole_dates(lake, ahead)
    return next((later - DAY for later in ahead if later not in whole), max(last, day))
