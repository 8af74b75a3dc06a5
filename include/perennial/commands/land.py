"""`perennial land`: put your own files into the landing zone as one drop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perennial.commands.arguments import AsJson, chosen_lake, day_of
from perennial.commands.output import print_json, print_line


def land(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source in its pipeline.yaml.")],
    day: Annotated[str, typer.Argument(metavar="DATE", help="Date of the drop, YYYY-MM-DD.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="All its files: .csv or .csv.gz.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete the existing drop first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Land your own files as the drop of one date."""
    from perennial.collect.land import land_drop

    lake = chosen_lake(pipeline)
    result = land_drop(lake, source, day_of(lake.pipeline, day), files, replace=replace)
    if as_json:
        print_json(result)
    elif result["outcome"] == "unchanged":
        print_line(f"The same drop has already landed: {result['folder']}")
    else:
        print_line(f"✓ {result['rows']} rows of {source} landed: {result['folder']}", style="green")
