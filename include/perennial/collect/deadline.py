"""Until when drops may land, and which date a run is of when nobody has named one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from perennial.calendar import DAY, midnight
from perennial.collect.drops import newest_whole
from perennial.collect.manifest import FILE
from perennial.lake.lake import Lake
from perennial.pipeline import Pipeline


def deadlines(pipeline: Pipeline, day: date) -> dict[str, datetime]:
    """Return, by address of each source's manifest of `day`, until when it may land: the end of the local day and deadline_hours more."""
    end_of_day = midnight(day + DAY, pipeline.calendar.time_zone)
    return {
        source.drop_uri(day) + FILE: end_of_day + timedelta(hours=source.deadline_hours) for source in pipeline.sources.values()
    }


def newest_to_run(lake: Lake, day: date, now: datetime) -> date:
    """
    Return `day` when it has landed or may still land, else the newest date before it that has landed from every source.

    When none has, it is `day`, whose run then says what is missing.
    """
    if now < min(deadlines(lake.pipeline, day).values()):
        return day
    return newest_whole(lake, day) or day
