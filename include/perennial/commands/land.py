"""`perennial land`: put your own files into the landing zone, as the drop of one date or of many dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, chosen_date, chosen_lake, day_of
from perennial.commands.output import counted, print_json, print_line
from perennial.commands.progress import at_work
from perennial.errors import RefusedError

if TYPE_CHECKING:
    from perennial.collect.dated_files import DatedFiles
    from perennial.lake.lake import Lake

_MAX_SHOWN = 20


def land(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source in its pipeline.yaml.")],
    day: Annotated[
        str,
        typer.Argument(
            metavar="DATE|PATTERN", help="Date of the drop, YYYY-MM-DD; or a pattern such as 'exports/{date}.csv.gz' in quotes."
        ),
    ],
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="All files of the date: .csv or .csv.gz.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="With a pattern: the first date to land.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="With a pattern: the last date to land.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete the existing drops first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Land your own files as drops of one or many dates."""
    from perennial.collect.dated_files import is_pattern

    if is_pattern(day):
        if files:
            raise RefusedError(f"{files[0]} follows a pattern", remedy="Write one pattern in quotes, and no file.")
        _land_pattern(chosen_lake(pipeline), source, _find_files(day, first, last), replace=replace, as_json=as_json)
    elif first or last:
        raise RefusedError(
            "--from and --to are for a pattern", remedy="Write {date} where the names of your files have the date."
        )
    else:
        _land_date(chosen_lake(pipeline), source, day, files or [], replace=replace, as_json=as_json)


def _land_date(lake: Lake, source: str, day: str, files: list[Path], *, replace: bool, as_json: bool) -> None:
    from perennial.collect.land import land_drop

    if Path(day).suffix in (".csv", ".gz"):
        raise RefusedError(
            f"{day!r} is a file, expected a date before it",
            remedy="Write `perennial land PIPELINE SOURCE DATE FILE...`, or for many dates a pattern with {date}, in quotes.",
        )
    chosen_day = day_of(lake.pipeline, day)
    if not files:
        raise RefusedError(f"No files for {day}", remedy="Write them after the date, or a pattern with {date} in its place.")
    result = land_drop(lake, source, chosen_day, files, replace=replace)
    if as_json:
        print_json(asdict(result))
    elif result.outcome == "unchanged":
        print_line(f"The same drop has already landed: {result.folder}")
    else:
        print_line(f"✓ {result.rows} rows of {source} landed: {result.folder}", style="green")


def _find_files(pattern: str, first: str | None, last: str | None) -> DatedFiles:
    from perennial.collect.dated_files import find_dated_files

    begin = chosen_date(first) if first else date.min
    end = chosen_date(last) if last else date.max
    found = find_dated_files(pattern)
    chosen = {day: paths for day, paths in found.by_date.items() if begin <= day <= end}
    if not chosen:
        others = f"only of {min(found.by_date)} to {max(found.by_date)}" if found.by_date else "none"
        raise RefusedError(
            f"No files of these dates match {pattern!r}, found {others}",
            [f"{path}: {reason}" for path, reason in found.ignored.items()],
        )
    found.by_date = chosen
    return found


def _land_pattern(lake: Lake, source: str, files: DatedFiles, *, replace: bool, as_json: bool) -> None:
    landing = land_files(lake, source, files.by_date, replace=replace)
    if as_json:
        print_json(
            {
                "pipeline": lake.pipeline.name,
                "source": source,
                **asdict(landing),
                "ignored": [str(path) for path in files.ignored],
            }
        )
    else:
        print_landing(source, landing)
        _print_first([f"? {path}: not landed, {reason}" for path, reason in files.ignored.items()], style="yellow")
    if landing.refused:
        raise typer.Exit(1)


@dataclass(slots=True)
class Landing:
    """The dates of a landing by result, and the rows of those that landed now."""

    rows: int = 0
    landed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """By date, the reason."""


def land_files(lake: Lake, source: str, files: Mapping[date, Sequence[Path]], *, replace: bool = False) -> Landing:
    """Land the files of many dates and show the progress."""
    from perennial.collect.land import land_drops

    landing = Landing()
    with at_work("land") as status:
        for number, (day, result) in enumerate(land_drops(lake, source, files, replace=replace), 1):
            if isinstance(result, RefusedError):
                landing.refused[day.isoformat()] = str(result)
            elif result.outcome == "unchanged":
                landing.unchanged.append(day.isoformat())
            else:
                landing.landed.append(day.isoformat())
                landing.rows += result.rows
            status.update(f"land: {number} of {counted(len(files), 'date')}, {day}")
    return landing


def print_landing(source: str, landing: Landing) -> None:
    """Print the dates by result, and the reason of each refusal."""
    if landing.landed:
        print_line(f"✓ {counted(len(landing.landed), 'date')} of {source} landed, {landing.rows} rows", style="green")
    if landing.unchanged:
        print_line(f"{counted(len(landing.unchanged), 'date')} had landed before and did not change")
    if landing.refused:
        print_line(f"✗ {counted(len(landing.refused), 'date')} refused", style="red")
    _print_first(_format_refused(landing), style="red")


def _format_refused(landing: Landing) -> list[str]:
    """Return a line for each range of dates that were refused for the same reason, with the reason of its first date."""
    lines: list[str] = []
    for key, group in groupby(
        sorted([*landing.landed, *landing.unchanged, *landing.refused]),
        key=lambda day: landing.refused.get(day, "").replace(day, ""),
    ):
        days = list(group)
        if key:
            dates = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} dates)"
            lines.append(f"  {dates}: {landing.refused[days[0]]}")
    return lines


def _print_first(lines: list[str], style: str) -> None:
    for line in lines[:_MAX_SHOWN]:
        print_line(line, style=style)
    if len(lines) > _MAX_SHOWN:
        print_line(f"  and {len(lines) - _MAX_SHOWN} more, all of them with --json", style=style)
