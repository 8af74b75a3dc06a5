"""`perennial quarantine`: show the rows of a date that broke the contract, with the rules they broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, print_table

if TYPE_CHECKING:
    import datetime

    import pyarrow as pa

    from perennial.lake.lake import Lake

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
        print_json({"pipeline": lake.pipeline.name, "date": day.isoformat(), "rows": [] if rows is None else rows.to_pylist()})
    elif rows is None or not rows.num_rows:
        _print_empty(lake, day)
    else:
        # As Python objects, a million rows take gigabytes.
        print_table(COLUMNS, ([row[name] for name in COLUMNS] for row in rows.slice(0, MAX_SHOWN).to_pylist()))
        if rows.num_rows > MAX_SHOWN:
            print_line(f"and {rows.num_rows - MAX_SHOWN} more; --json shows all", style="dim")


def _print_empty(lake: Lake, day: datetime.date) -> None:
    """Print that there are no rows, and the sources whose drop clean has not accepted, so that none of its rows were kept."""
    from perennial.clean.unclean import unclean_sources

    print_line(f"No row of {day} is in quarantine.")
    for item in unclean_sources(lake, day):
        print_line(f"  ! {item}. {item.remedy}", style="yellow")


def _rows(lake: Lake, day: datetime.date) -> pa.Table | None:
    """Return the rows in order of source, file and position; None: the pipeline has no such table yet."""
    from perennial.lake.tables import read_rows

    state = lake.tables.state("quarantine")
    if state.metadata_location is None or state.snapshot_id is None:
        return None
    table = read_rows(state.metadata_location, state.snapshot_id, [day], COLUMNS)
    return table.sort_by([(name, "ascending") for name in COLUMNS[:3]])
