"""`perennial validate`: read pipelines and say everything that is wrong with them."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.commands.arguments import AsJson
from perennial.commands.output import print_json, print_line
from perennial.errors import PipelineRefusedError, RefusedError
from perennial.pipeline_file import load_pipeline, pipeline_names, pipelines_folder


def validate(
    pipelines: Annotated[list[str] | None, typer.Argument(metavar="[PIPELINE]...", help="Names; all when none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check pipeline.yaml and its SQL files; list every problem."""
    names = pipelines or pipeline_names()
    if not names:
        raise RefusedError(f"No pipeline in {pipelines_folder()}", remedy="A pipeline is a folder with a pipeline.yaml.")
    found = {name: _problem(name) for name in names}
    if as_json:
        print_json({"pipelines": [{"name": name, "valid": text is None, "problem": text} for name, text in found.items()]})
    else:
        for name, text in found.items():
            print_line(f"✓ {name}" if text is None else f"✗ {text}", style="green" if text is None else "red")
    if any(found.values()):
        raise typer.Exit(1)


def _problem(name: str) -> str | None:
    try:
        load_pipeline(name)
    except PipelineRefusedError as error:
        return str(error)
    return None
