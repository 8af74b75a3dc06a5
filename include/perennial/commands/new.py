"""`perennial new`: a new pipeline from CSV files."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from perennial.commands.arguments import AsJson, lake_of
from perennial.commands.land import Landing, land_files, print_landing
from perennial.commands.output import print_json, print_line
from perennial.commands.progress import at_work
from perennial.config.load import pipelines_folder
from perennial.errors import RefusedError
from perennial.lake.reach import require_store
from perennial.settings import ENVIRONMENT_FILE, var_folder
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    from rich.status import Status

    from perennial.lake.lake import Lake
    from perennial.scaffold.dates import Ask
    from perennial.scaffold.draft import Draft, Options
    from perennial.scaffold.files import File
    from perennial.scaffold.split import Split

Encoding = Literal["utf-8", "utf-16", "latin-1", "windows-1252"]
PROGRAM = ".venv/bin/perennial"
TABLE = "records"
START = "make up  # starts its model server"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new pipeline: a-z, 0-9 and _.")],
    *,
    pattern: Annotated[str, typer.Option("--from", help="Pattern of its CSV files in quotes, such as 'exports/*.csv.gz'.")],
    label: Annotated[str, typer.Option(help="Column to predict.")],
    positive: Annotated[str | None, typer.Option(help="Value of the label to predict.")] = None,
    has_classes: Annotated[bool, typer.Option("--classes", help="Predict each of the label's 3 to 20 values.")] = False,
    predict: Annotated[
        str | None, typer.Option(help="Predict a label that is a number: mean, median, or a quantile such as 'quantile 0.9'.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Columns that identify a row of a date, separated by commas; else they are searched.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Columns that are no inputs, separated by commas: those that a caller does not know, such as other labels."
        ),
    ] = None,
    date_column: Annotated[str | None, typer.Option(help="Column with the date of a row, if several have dates.")] = None,
    date_format: Annotated[
        str | None, typer.Option(help="Format of dates that fit several, such as dd/MM/yyyy or MM/dd/yyyy.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Time zone of the dates, such as Europe/Berlin; UTC if not given.")
    ] = None,
    encoding: Annotated[
        Encoding | None, typer.Option(help="Encoding of the files, if it is not found: windows-1252, for example.")
    ] = None,
    is_landed: Annotated[bool, typer.Option("--land", help="Split the files by date and land them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a pipeline from CSV files."""
    from perennial.scaffold.draft import Options
    from perennial.scaffold.files import find_files
    from perennial.scaffold.folder import check_place, files_of, staged

    root = pipelines_folder()
    check_place(root, name)
    _check_target(positive, predict, has_classes=has_classes)
    _check_zone(time_zone)
    _check_format(date_format)
    if is_landed:
        require_store()
    keys, unknown = _split_names(key), _split_names(without)
    options = Options(name, label, keys, date_column, positive, has_classes, predict, time_zone, date_format, unknown)
    _check_pattern(pattern)
    files, ignored = find_files(pattern)
    with at_work("read the sample") as status:
        ask = partial(_ask, status) if sys.stdin.isatty() and not as_json else None
        draft = _draft(files, options, encoding, ask)
    landing: Landing | None = None
    with tempfile.TemporaryDirectory(prefix="perennial-new-") as scratch:
        if is_landed:
            with at_work("split by date"):
                split = _split(files, draft, Path(scratch))
            draft = _with_all_rows(draft, split)
        commands, today = _next_commands(draft, pattern, is_landed=is_landed), datetime.now(UTC).date()
        with staged(root, name, files_of(draft, pattern, commands, today)) as pipeline:
            if is_landed:
                landing = _land(lake_of(pipeline), split)
    if _start_server(name):
        commands.remove(START)
    if as_json:
        print_json({**_describe(draft, root / name, commands, landing), "ignored": [str(path) for path in ignored]})
    else:
        _print_result(draft, root / name, commands, landing)
        print_line(_explain_later(draft, today))
        for path, reason in ignored.items():
            print_line(f"? {path}: not read, {reason}", style="yellow")
    if landing is not None and landing.refused:
        raise typer.Exit(1)


def _split_names(options: Sequence[str] | None) -> list[str]:
    return [name.strip() for words in options or () for name in words.split(",")]


def _start_server(name: str) -> bool:
    """Start the model server of the pipeline; return False if the embedded stack is not up, or cannot start it."""
    if not (var_folder() / ENVIRONMENT_FILE).is_file():
        return False
    # The stack imports this package. This package must not import the stack, so it runs in a separate process.
    done = subprocess.run([sys.executable, "-m", "stack", "serve", name], stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _check_target(positive: str | None, predict: str | None, *, has_classes: bool) -> None:
    from perennial.config.label import Prediction

    given = {"--positive": positive is not None, "--classes": has_classes, "--predict": predict is not None}
    if sum(given.values()) > 1:
        names = " and ".join(name for name, is_given in given.items() if is_given)
        raise RefusedError(f"{names}: expected one of them, each predicts something else")
    if predict is not None:
        _check_value("--predict", predict, Prediction)


def _check_zone(name: str | None) -> None:
    from perennial.config.values import Zone

    _check_value("--time-zone", name or "UTC", Zone)


def _check_value(option: str, value: str, kind: Any) -> None:
    """Refuse a value that pipeline.yaml refuses: it is read as the same type."""
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise RefusedError(f"{option} {value!r}", [error.errors()[0]["msg"].removeprefix("Value error, ")]) from None


def _check_format(text: str | None) -> None:
    from perennial.config.date_format import MAX_LENGTH, read_format

    try:
        if text is not None:
            read_format(text[: MAX_LENGTH + 1])
    except ValueError as error:
        raise RefusedError("--date-format", [str(error)]) from None


def _check_pattern(pattern: str) -> None:
    if not pattern.isprintable():
        raise RefusedError(f"--from {pattern!r}: expected a text of printable characters", remedy="Write * or ? for the others.")


def _draft(files: Sequence[File], options: Options, encoding: Encoding | None, ask: Ask | None) -> Draft:
    from perennial.scaffold.dialect import sniff
    from perennial.scaffold.draft import make_draft
    from perennial.scaffold.files import read_head, require_one_encoding
    from perennial.scaffold.sample import read_sample

    found, head = read_head(files[0], encoding)
    if encoding is None:
        require_one_encoding(files, found)
    return make_draft(read_sample(files, sniff(head, found, files[0].path)), options, ask)


def _ask(status: Status, text: str, names: Sequence[str]) -> list[str]:
    """Ask the user to choose names; the spinner would write over the answer."""
    status.stop()
    print_line(f"{text}\nChoices: {', '.join(names)}")
    return [name.strip() for name in str(typer.prompt("Answer; separate several by commas")).split(",")]


def _split(files: Sequence[File], draft: Draft, folder: Path) -> Split:
    from perennial.scaffold.split import DateColumn, Split, split_by_date

    if draft.is_dated or draft.date_column is None:
        split = Split()
        for file in files:
            if file.day is not None:
                split.files.setdefault(file.day, []).append(file.path)
        return split
    index = draft.columns.index(draft.date_column)
    found = draft.date_column
    column = DateColumn(index, found.type, found.format, found.null_text, ZoneInfo(draft.time_zone))
    try:
        return split_by_date(files, draft.dialect, column, folder, draft.options.name)
    except OSError as error:
        raise RefusedError(
            f"The rows cannot be split in {folder}: {error.strerror}", remedy="Set TMPDIR to a larger disk."
        ) from error


def _land(lake: Lake, split: Split) -> Landing:
    """Land the files of each date; if no date lands, refuse the pipeline, so that its name stays free."""
    landing = land_files(lake, TABLE, split.files)
    if landing.refused and not landing.landed and not landing.unchanged:
        problems = [f"{day}: {reason}" for day, reason in landing.refused.items()]
        raise RefusedError("No date was landed", problems, "Choose another name, or delete what is there.")
    return landing


def _with_all_rows(draft: Draft, split: Split) -> Draft:
    """Return the draft with the dates and the torn rows of all rows instead of those of the sample."""
    from perennial.scaffold.dates import Dates

    return replace(draft, dates=Dates(split.rows), torn=split.torn) if split.rows else draft


def _next_commands(draft: Draft, pattern: str, *, is_landed: bool) -> list[str]:
    name = draft.options.name
    dated = pattern if "{date" in pattern else "exports/{date}.csv.gz"
    land = [] if is_landed else [f"{PROGRAM} land {name} {TABLE} {shlex.quote(dated)}"]
    example = {"date": str(draft.dates.next), **draft.example}
    record = json.dumps(example, ensure_ascii=False)
    record = shlex.quote(record if record.isprintable() else json.dumps(example))
    return [
        *land,
        START,
        f"{PROGRAM} run {name} --date {draft.dates.last}",
        f"{PROGRAM} predict {name} --record {record}",
    ]


def _explain_later(draft: Draft, today: date) -> str:
    """Return what to do when the file of the next date arrives."""
    name, first = draft.options.name, ""
    if draft.dates.has_ended(today):
        first = f"remove `end: {draft.dates.last}` from pipeline.yaml, or move it; "
    return f"When the file of a later date arrives: {first}{PROGRAM} land {name} {TABLE} DATE FILE, then run that date."


def _describe(draft: Draft, folder: Path, commands: list[str], landing: Landing | None) -> dict[str, JsonValue]:
    from perennial.scaffold.dates import describe_dates

    return {
        "pipeline": draft.options.name,
        "folder": str(folder),
        **describe_dates(draft.dates),
        "key": draft.key,
        "label": {"task": draft.label.target.task, **draft.label.target.settings, **draft.label.facts},
        "csv": draft.dialect.settings,
        "formats": draft.formats,
        "request": {field.name: field.type + "?" * field.nullable for field in draft.fields},
        "left_out": draft.left_out,
        "notes": draft.notes,
        "landing": None if landing is None else asdict(landing),
        "next": commands,
    }


def _print_result(draft: Draft, folder: Path, commands: list[str], landing: Landing | None) -> None:
    dates, label = draft.dates, draft.label
    print_line(f"✓ {folder}", style="green")
    print_line(f"  {len(dates.rows)} dates, {dates.first} to {dates.last}; a row is identified by {', '.join(draft.key)}")
    print_line(f"  predicts {label.target.describe()}: {label.summary}; {len(draft.request)} request fields")
    print_line(f"  {dates.describe_first_run(label.positive_share)}")
    if settings := draft.dialect.settings:
        print_line(f"  files with {', '.join(f'{name} {value!r}' for name, value in settings.items())}")
    for name, form in draft.formats.items():
        print_line(f"  {name} has dates of the form {form}")
    for name, reason in draft.left_out.items():
        print_line(f"  ? {name} is no input: {reason}", style="yellow" if "leakage" in reason else "")
    for note in draft.notes:
        print_line(f"  ? {note}", style="yellow")
    if landing is not None:
        print_landing(TABLE, landing)
    if START not in commands:
        print_line("  its model server has started")
    print_line("Read pipeline.yaml, then:")
    for command in commands:
        print_line(f"  {command}")
