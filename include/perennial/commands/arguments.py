"""Arguments shared by the commands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.calendar import parse_date
from perennial.config.load import load_pipeline, pipeline_names, pipelines_folder
from perennial.config.pipeline import Pipeline
from perennial.errors import PipelineRefusedError, RefusedError
from perennial.lake.reach import require_store
from perennial.settings import get_settings

if TYPE_CHECKING:  # importing it is slow, and --help does not need it
    from perennial.lake.lake import Lake

PipelineName = Annotated[
    str | None, typer.Argument(metavar="[PIPELINE]", help="Name of the pipeline; not needed when there is only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON value.")]


def chosen(name: str | None) -> Pipeline:
    """Load the pipeline `name`, or the only pipeline if there is just one."""
    return load_pipeline(only_name() if name is None else name)


def only_name() -> str:
    """Return the name of the only pipeline; refuse if there is none, or more than one."""
    names = pipeline_names()
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise RefusedError(
            f"{len(names)} pipelines in {pipelines_folder()}: {listed}",
            remedy="Name one of them after the command, for example `perennial status NAME`; with compare use --pipeline NAME."
            if names
            else "Create one: `perennial new`; docs/bring-your-own-data.md shows how.",
        )
    return names[0]


def served(name: str | None) -> Pipeline:
    """
    Load a pipeline for what is stored of it and what serves.

    If its files are refused, only the use of a setting that they alone hold raises. The lake tells where it serves.
    """
    from perennial.config.refused import RefusedPipeline

    name = only_name() if name is None else name
    try:
        return load_pipeline(name)
    except PipelineRefusedError as refusal:
        if name not in pipeline_names():
            raise
        pipeline = RefusedPipeline.read(pipelines_folder() / name, refusal)
    from perennial.deploy.active import read_active

    return pipeline.serving_on(get_settings().runtime or read_active(lake_of(pipeline)).runtime)


def chosen_lake(name: str | None) -> Lake:
    """Open the lake of the pipeline `name`, or of the only pipeline if there is just one."""
    return lake_of(chosen(name))


def checked_lake(name: str | None) -> Lake:
    """Open the lake of a pipeline as `chosen_lake` does, but refuse at once all that `perennial validate` refuses."""
    from perennial.sql.check import check_sql, require_valid
    from perennial.train.check import candidate_problems

    pipeline = chosen(name)
    findings = check_sql(pipeline)
    findings.problems.extend(candidate_problems(pipeline))
    require_valid(pipeline, findings)
    return lake_of(pipeline)


def served_lake(name: str | None) -> Lake:
    """Open the lake of a pipeline for what is stored of it and what serves (see `served`)."""
    return lake_of(served(name))


def lake_of(pipeline: Pipeline) -> Lake:
    """Open the lake of a pipeline; fail at once if the stack of this machine is down."""
    from perennial.lake.lake import open_lake

    require_store()
    return open_lake(pipeline)


def day_of(pipeline: Pipeline, text: str) -> date:
    """Parse a date that the user typed; refuse a date outside start..end, in the future, or on which the feed rests."""
    return pipeline.calendar.check_run(parse_date(text), datetime.now(UTC))


def chosen_date(text: str) -> date:
    """Parse a date that the user typed."""
    return parse_date(text)
