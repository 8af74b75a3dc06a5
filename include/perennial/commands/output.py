"""Output of commands: one JSON value, or lines and tables for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import typer
from rich.table import Table
from rich.text import Text

from perennial.calendar import EVERY_DAY, DataDays
from perennial.display.console import ShowableConsole
from perennial.display.showable import dump_json, make_line, make_showable
from perennial.store.json_value import Json, JsonValue

MAX_RANGES = 5
"""Maximum number of ranges in a text of dates."""

out = ShowableConsole()
problems = ShowableConsole(stderr=True)


def stale_text(pipeline: str, dates: Sequence[str]) -> str:
    """Explain why decisions are stale, and name the command that judges them again."""
    command = f"perennial backfill {pipeline} --from {min(dates)} --to {max(dates)} --again stale"
    return f"judged against a model that is no longer the incumbent or anchor; `{command}` judges these dates again"


def counted(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def format_dates(dates: Collection[date], data_days: DataDays = EVERY_DAY) -> str:
    """Return dates as text, such as `2013-01-03 to 2013-01-09, 2013-01-12`. Rest dates do not end a range."""
    ranges: list[list[date]] = []
    for day in sorted(dates):
        if ranges and data_days.after(ranges[-1][-1]) == day:
            ranges[-1].append(day)
        else:
            ranges.append([day])
    texts = [f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}" for days in ranges[:MAX_RANGES]]
    left_out = sum(map(len, ranges[MAX_RANGES:]))
    return ", ".join(texts) + (f", and {counted(left_out, 'more date')}" if left_out else "")


def format_details(details: Json) -> str:
    """Return the details of a stage's result in one line."""
    return ", ".join(f"{name} {_format_detail(name, value)}" for name, value in details.items())


def _format_detail(name: str, value: JsonValue) -> str:
    if isinstance(value, dict):
        return str(len(value)) if name == "gaps" else " ".join(f"{key}={item}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_json(value: JsonValue) -> None:
    """Print the command's one JSON value."""
    typer.echo(dump_json(value))


def print_line(text: str, style: str = "") -> None:
    """Print a line; square brackets in it are text, not markup."""
    out.print(_plain(text), style=style)


def print_problem(text: str, style: str = "") -> None:
    """Print a line on standard error."""
    problems.print(_plain(text), style=style)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[JsonValue | date]]) -> None:
    """Print rows under column names; None is shown as a dash."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(make_line(column)), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(make_line("-" if cell is None else str(cell))) for cell in row))
    # Users copy names of models and releases: a narrow terminal may wrap a line, but must not cut a cell.
    table.width = out.measure(table, options=out.options.update_width(10_000)).maximum
    out.print(table)


def _plain(text: str) -> Text:
    """Return a text that is printed as it is, without markup and control characters."""
    return Text(make_showable(text))
