"""`perennial feed`: act as the upstream system of the demo and land drops of 2013."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line


def feed(
    pipeline: PipelineName = None,
    *,
    first: Annotated[str, typer.Option("--from", help="First date, YYYY-MM-DD.")],
    last: Annotated[str | None, typer.Option("--to", help="Last date; the first date when not given.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only this source or reference; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Land the demo's drops: files, then the manifest. Existing objects stay as they are."""
    from perennial.demo.feed import feed as land

    begin = chosen_date(first)
    result = land(chosen_lake(pipeline), begin, chosen_date(last) if last else begin, source or [])
    if as_json:
        print_json(result)
        return
    rows = ", ".join(f"{count} rows of {name}" for name, count in result["rows"].items())
    print_line(f"{result['from']} to {result['to']}: {rows or 'references only'}; {result['written']} objects written")
