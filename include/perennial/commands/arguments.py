"""The arguments that commands share."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from perennial.calendar import parse_date
from perennial.errors import DateRefusedError, RefusedError, did_you_mean
from perennial.pipeline import Pipeline
from perennial.pipeline_file import load_pipeline, pipeline_names, pipelines_folder

PipelineName = Annotated[
    str | None, typer.Argument(metavar="[PIPELINE]", help="Name of the pipeline; not needed when there is only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON value.")]


def chosen(name: str | None) -> Pipeline:
    """Load the pipeline that was named, or the only one there is."""
    names = pipeline_names()
    if name is not None:
        if name not in names and (near := did_you_mean(name, names)):
            raise RefusedError(f"There is no pipeline {name!r}", remedy=near.strip())
        return load_pipeline(name)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise RefusedError(f"{len(names)} pipelines in {pipelines_folder()}: {found}", remedy="Name the one you mean.")
    return load_pipeline(names[0])


def chosen_lake(name: str | None) -> Any:
    """Open the lake of the pipeline that was named, or of the only one there is."""
    from perennial.lake.lake import open_lake

    return open_lake(chosen(name))


def day_of(pipeline: Pipeline, text: str) -> date:
    """Read a date of the pipeline as it is typed; refuse one that it does not have, or not yet."""
    calendar = pipeline.calendar
    day = calendar.check(parse_date(text))
    if day > (today := calendar.local_date(datetime.now(UTC))):
        raise DateRefusedError(
            f"Pipeline {pipeline.name!r}: {day} is in the future; in {calendar.time_zone} it is {today}",
            remedy="Choose an earlier date.",
        )
    return day


def chosen_date(text: str) -> date:
    """Read a date as it is typed."""
    return parse_date(text)
