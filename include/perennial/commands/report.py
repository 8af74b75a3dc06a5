"""`perennial report`: write a range of dates as a page that opens without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.compare import of_space
from perennial.commands.output import counted, print_json, print_line, problems
from perennial.settings import var_folder


def report(
    pipeline: PipelineName = None,
    *,
    first: Annotated[str, typer.Option("--from", help="The first date, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="The last date, YYYY-MM-DD.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; under var/reports when not given.")] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="An experiment; production when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a report on past dates as a page. Airflow shows the newest one beside the runs of the pipeline, under Report."""
    from perennial.report.kept import keep
    from perennial.report.page import page
    from perennial.report.walk_forward import walk_forward

    lake = of_space(chosen_lake(pipeline), name)
    with problems.status("Judging every date on its own rows"):
        result = walk_forward(lake, chosen_date(first), chosen_date(last))
    days = result.days
    space = f"-{name}" if name else ""
    path = (out or var_folder() / "reports" / f"{result.pipeline}{space}-{days[0].date}-{days[-1].date}.html").resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    html = page(result)
    if out is None:
        path.touch()
        path.chmod(0o600)  # as all state of the stack; a file that the user names gets the user's own mode
    path.write_text(html, encoding="utf-8")
    keep(lake, days[0].date, days[-1].date, html)
    if as_json:
        pooled = {name: score.to_json(result.task) for name, score in result.pooled.items()}
        print_json(
            {
                "pipeline": result.pipeline,
                "dates": len(days),
                "pooled_dates": result.pooled_dates,
                "pooled": pooled,
                "file": str(path),
            }
        )
    else:
        print_line(f"✓ {counted(len(days), 'date')}: {path.as_uri()}", style="green")
