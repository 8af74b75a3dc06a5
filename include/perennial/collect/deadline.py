"""Until when drops may land, and which date a run is of when nobody has named one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from perennial.calendar import DAY, midnight
from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops, newest_whole
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
    Return `day` while it may still land, else the newest date up to it that has landed from every source and is not refused.

    When there is none, it is `day`, whose run then says what is missing.
    """
    if now < min(deadlines(lake.pipeline, day).values()):
        return day
    found = newest_whole(lake, day)
    while found is not None and _is_refused(lake, found):
        found = newest_whole(lake, found - DAY)
    return found or day


def _is_refused(lake: Lake, day: date) -> bool:
    found = {source: landed_drops(lake, source, [day]).get(day) for source in lake.pipeline.sources}
    return any(one is not None and one.drop is None and is_refused(lake, source, day, one.found) for source, one in found.items())
