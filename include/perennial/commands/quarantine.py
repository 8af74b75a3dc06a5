"""`perennial quarantine`: the rows of a date that broke the contract, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, print_table

COLUMNS = ("source", "file", "position", "column", "rule", "value", "row")
MOST_SHOWN = 50


def quarantine(
    pipeline: PipelineName = None,
    date: Annotated[str, typer.Option(help="The date, YYYY-MM-DD.")] = ...,  # type: ignore[assignment]
    as_json: AsJson = False,
) -> None:
    """Show the rows of a date that broke the contract."""
    lake, day = chosen_lake(pipeline), chosen_date(date)
    rows = _rows(lake, day)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "date": day.isoformat(), "rows": rows})
    elif not rows:
        print_line(f"No row of {day} is in quarantine.{_unseen(lake, day)}")
    else:
        print_table(COLUMNS, ([row[name] for name in COLUMNS] for row in rows[:MOST_SHOWN]))
        if len(rows) > MOST_SHOWN:
            print_line(f"and {len(rows) - MOST_SHOWN} more; --json shows all", style="dim")


def _unseen(lake: Any, day: Any) -> str:
    """Say which sources nobody has looked at, since clean has not accepted a drop of theirs of that date."""
    unseen = [name for name in lake.pipeline.sources if lake.tables.state(f"clean_{name}").get(day) is None]
    run = f"perennial run {lake.pipeline.name} --date {day}"
    return f" But {', '.join(unseen)} of that date: not clean yet, or refused. `{run}` says which." if unseen else ""


def _rows(lake: Any, day: Any) -> list[dict[str, Any]]:
    """Return them in order of source, file and position."""
    from perennial.lake.tables import read_rows

    state = lake.tables.state("quarantine")
    if state.metadata_location is None or state.snapshot_id is None:
        return []
    found = read_rows(state.metadata_location, state.snapshot_id, [day], COLUMNS)
    rows: list[dict[str, Any]] = found.sort_by([(name, "ascending") for name in COLUMNS[:3]]).to_pylist()
    return rows
