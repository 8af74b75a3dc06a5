"""Output of commands: one JSON value, or lines and tables for people."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date

import typer
from rich.console import Console
from rich.table import Table

from perennial.calendar import EVERY_DAY, DataDays
from perennial.config.values import UNSHOWABLE
from perennial.store.json_value import JsonValue

MAX_RANGES = 5
"""Maximum number of ranges in a text of dates."""

out = Console(highlight=False, soft_wrap=True)
problems = Console(stderr=True, highlight=False, soft_wrap=True)


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


def print_json(value: JsonValue) -> None:
    """Print the command's one JSON value."""
    text = json.dumps(value, ensure_ascii=False)
    typer.echo(text.encode(errors="backslashreplace").decode())  # a file name may have bytes that are not UTF-8


def print_line(text: str, style: str = "") -> None:
    """Print a line; square brackets in it are text, not markup."""
    out.print(showable(text), style=style, markup=False)


def print_problem(text: str, style: str = "") -> None:
    """Print a line on standard error."""
    problems.print(showable(text), style=style, markup=False)


def showable(text: str) -> str:
    """Return a text in which no name of a file and no cell of data can steer the terminal."""
    return UNSHOWABLE.sub(lambda match: match[0] if match[0] in "\n\t" else ascii(match[0])[1:-1], text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[JsonValue | date]]) -> None:
    """Print rows under column names; None is shown as a dash."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*("-" if cell is None else _plain(str(cell)) for cell in row))
    # Users copy names of models and releases: a narrow terminal may wrap a line, but must not cut a cell.
    table.width = out.measure(table, options=out.options.update_width(10_000)).maximum
    out.print(table)


def _plain(text: str) -> str:
    return showable(text).replace("[", r"\[")
