"""The deadlines of drops."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from perennial.calendar import DAY, midnight
from perennial.collect.manifest import FILE
from perennial.config.pipeline import Pipeline


def deadlines(pipeline: Pipeline, day: date) -> dict[str, datetime]:
    """
    Return when the drop of each source for `day` must have landed, by the address of its manifest.

    The deadline is `deadline_hours` after the end of the local day.
    """
    end_of_day = midnight(day + DAY, pipeline.calendar.time_zone)
    return {
        source.drop_uri(day) + FILE: end_of_day + timedelta(hours=source.deadline_hours) for source in pipeline.sources.values()
    }
