"""`perennial try`: run one query, or the cleaning of one source, on landed data, without committing anything."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, chosen_lake, day_of
from perennial.commands.output import counted, print_json, print_line, print_table
from perennial.commands.progress import at_work, show_children
from perennial.lake.days import REFERENCE

if TYPE_CHECKING:
    from perennial.trial.trial import Findings

MAX_CELL = 60


def try_(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.")],
    target: Annotated[
        str, typer.Argument(metavar="[TARGET]", help="features, labels, lookups/NAME, analysis/NAME, or the name of a source.")
    ] = "features",
    *,
    day: Annotated[str, typer.Option("--date", help="The date whose data to use, YYYY-MM-DD.")],
    rows: Annotated[int, typer.Option(min=1, max=10_000, help="Number of rows to show.")] = 20,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all output of Spark.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run one query on landed data; commit nothing."""
    from perennial.trial.target import find_target
    from perennial.trial.trial import try_target

    show_children(verbose)
    lake = chosen_lake(pipeline)
    chosen = find_target(lake.pipeline, target)
    began = time.monotonic()
    with at_work("try"):
        found = try_target(lake, chosen, day_of(lake.pipeline, day), rows)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "target": target, "date": day, "seconds": seconds, **asdict(found)})
    else:
        _print(found, chosen.file or chosen.name)
        print_line(f"{seconds} s; nothing was committed", style="dim")
    if found.problems:
        raise typer.Exit(1)


def _print(found: Findings, what: str) -> None:
    names = [column.name for column in found.columns]
    print_table(names, ([_cut(row.get(name)) for name in names] for row in map(dict, found.rows)))
    more = f", the first {len(found.rows)} are shown" if len(found.rows) < found.count else ""
    print_line(f"{what}, {found.day}: {counted(found.count, 'row')}{more}", style="bold")
    print_table(
        ("column", "type", "stored as"), ((column.name, column.type, column.stored or "refused") for column in found.columns)
    )
    for table, seen in found.seen.items():
        print_line(_format_seen(table, found))
        for date, reason in list(seen.gaps.items())[:5]:
            print_line(f"  ! {date}: {reason}", style="yellow")
        if len(seen.gaps) > 5:
            print_line(f"  ! and {len(seen.gaps) - 5} more dates without rows", style="yellow")
    for table, days in found.quarantined.items():
        print_line(
            f"  ! {table}: {counted(sum(days.values()), 'row')} of {counted(len(days), 'date')} would be quarantined",
            style="yellow",
        )
    for item in found.examples:
        print_line(f"    {item.file}, row {item.position}: {item.column} {item.rule}, {item.value!r}", style="yellow")
    for warning in found.warnings:
        print_line(f"! {what}: {warning}", style="yellow")
    compared = [day for day, difference in found.alone.items() if difference is None]
    if compared:
        print_line(f"✓ exact alone: {' and '.join(compared)}, computed alone and together, give the same rows", style="green")
    elif not found.alone and not found.problems and found.day != REFERENCE:
        print_line("? not compared with a batch of dates: no earlier date has landed, or each row depends on itself only")
    for problem in found.problems:
        print_line(f"✗ {what}: {problem}", style="red")


def _format_seen(table: str, found: Findings) -> str:
    seen, saw = found.seen[table], found.saw.get(table, {})
    if "dates" not in saw:
        rows = f"{saw['rows']:,} rows, " if "rows" in saw else ""
        origin = "read from the landing zone" if seen.read else "from its clean table"
        return f"{table}: {rows}{origin}"
    span = f" ({saw['first']} to {saw['last']})" if saw["dates"] else ""
    origin = f"; {counted(seen.read, 'drop')} read from the landing zone, as no run has cleaned them" if seen.read else ""
    return f"{table}: saw {saw['dates']} of {counted(seen.wanted, 'date')}{span}, {saw['rows']:,} rows{origin}"


def _cut(value: object) -> str | None:
    text = None if value is None else str(value)
    return text if text is None or len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"
