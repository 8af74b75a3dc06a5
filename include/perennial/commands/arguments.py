"""The arguments that commands share."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from perennial.calendar import parse_date
from perennial.errors import RefusedError
from perennial.pipeline import Pipeline
from perennial.pipeline_file import load_pipeline, pipeline_names, pipelines_folder

PipelineName = Annotated[
    str | None, typer.Argument(metavar="[PIPELINE]", help="Name of the pipeline; not needed when there is only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON value.")]


def chosen(name: str | None) -> Pipeline:
    """Load the pipeline that was named, or the only one there is."""
    if name is not None:
        return load_pipeline(name)
    names = pipeline_names()
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise RefusedError(f"{len(names)} pipelines in {pipelines_folder()}: {found}", remedy="Name the one you mean.")
    return load_pipeline(names[0])


def chosen_lake(name: str | None) -> Any:
    """Open the lake of the pipeline that was named, or of the only one there is."""
    from perennial.lake.lake import open_lake

    return open_lake(chosen(name))


def chosen_date(text: str) -> date:
    """Read a date as it is typed."""
    return parse_date(text)
