"""`perennial quarantine`: the rows of a date that broke the contract, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, print_table

if TYPE_CHECKING:
    import datetime

    from perennial.lake.lake import Lake
    from perennial.store.json_value import Json

COLUMNS = ("source", "file", "position", "column", "rule", "value", "row")
MAX_SHOWN = 50


def quarantine(
    pipeline: PipelineName = None,
    *,
    date: Annotated[str, typer.Option(help="The date, YYYY-MM-DD.")],
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
        print_table(COLUMNS, ([row[name] for name in COLUMNS] for row in rows[:MAX_SHOWN]))
        if len(rows) > MAX_SHOWN:
            print_line(f"and {len(rows) - MAX_SHOWN} more; --json shows all", style="dim")


def _unseen(lake: Lake, day: datetime.date) -> str:
    """Say which sources nobody has looked at, since clean has not accepted a drop of theirs of that date."""
    unseen = [name for name in lake.pipeline.sources if lake.tables.state(f"clean_{name}").get(day) is None]
    run = f"perennial run {lake.pipeline.name} --date {day}"
    return f" But {', '.join(unseen)} of that date: not clean yet, or refused. `{run}` says which." if unseen else ""


def _rows(lake: Lake, day: datetime.date) -> list[Json]:
    """Return them in order of source, file and position."""
    from perennial.lake.tables import read_rows

    state = lake.tables.state("quarantine")
    if state.metadata_location is None or state.snapshot_id is None:
        return []
    found = read_rows(state.metadata_location, state.snapshot_id, [day], COLUMNS)
    rows: list[Json] = found.sort_by([(name, "ascending") for name in COLUMNS[:3]]).to_pylist()
    return rows
