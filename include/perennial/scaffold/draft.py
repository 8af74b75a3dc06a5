"""The draft of a pipeline: every decision that its files need, made from a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from perennial.config.date_format import read_format
from perennial.config.dialect import Csv
from perennial.config.limits import MAX_FIELDS
from perennial.errors import RefusedError, did_you_mean
from perennial.scaffold.cells import is_skipped, read_cell
from perennial.scaffold.columns import Column, describe_columns
from perennial.scaffold.dates import (
    IS_DATE,
    Ask,
    Dates,
    choose_date_column,
    choose_format,
    count_dates,
    match_days,
    read_days,
)
from perennial.scaffold.doubles import Doubles, find_doubles, refuse_key
from perennial.scaffold.fields import Field, choose_field
from perennial.scaffold.key import MAX_DOUBLES, find_key
from perennial.scaffold.label import Label, read_label
from perennial.scaffold.leakage import find_leak
from perennial.scaffold.sample import Sample
from perennial.scaffold.torn import Torn
from perennial.store.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Options:
    """The words of the user: names are as in the header, or as in the contract."""

    name: str
    label: str
    key: Sequence[str] = ()
    date_column: str | None = None
    positive: str | None = None
    has_classes: bool = False
    predict: str | None = None
    time_zone: str | None = None
    date_format: str | None = None
    without: Sequence[str] = ()
    """Columns that a caller does not know, such as another label."""


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A pipeline to be written.

    :ivar date_column: the column with the date of each row; None if only the names of the files have it
    :ivar is_dated: the names of the files have the date, and each file is of one date
    :ivar time_field: the field with the time of the date column, if that is a timestamp with times
    :ivar left_out: the reason by column that does not enter the model
    :ivar lookup_key: the category whose history the lookup computes, or None
    """

    options: Options
    dialect: Csv
    columns: list[Column]
    label: Label
    key: list[str]
    date_column: Column | None
    is_dated: bool
    time_field: str | None
    fields: list[Field]
    left_out: dict[str, str]
    lookup_key: str | None
    dates: Dates
    torn: Torn
    doubles: Doubles
    """Rows of the sample whose key an earlier row has."""

    example: dict[str, JsonValue]

    @property
    def time_zone(self) -> str:
        """Return the time zone of the pipeline."""
        return self.options.time_zone or "UTC"

    @property
    def request(self) -> list[str]:
        """Return the names of the request fields, in order."""
        return ["date", *self.example]

    @property
    def formats(self) -> dict[str, str]:
        """Return the format by column of the dates that are not in ISO 8601."""
        return {column.name: column.format for column in self.columns if column.format is not None}

    @property
    def notes(self) -> list[str]:
        """Return what the user has to know of the rows."""
        doubles = [f"{self.doubles.text}; clean sends the later ones to quarantine"] if self.doubles.rows else []
        return self.torn.notes(self.dates.rows, self.dates.quarantine_share) + doubles


def make_draft(raw: Sample, options: Options, ask: Ask | None = None) -> Draft:
    """
    Decide everything that the files of a pipeline need.

    :param raw: the sample with the texts of the files
    :param ask: asks the user to name columns; None: the user cannot be asked
    """
    sample, columns = describe_columns(raw, options.date_format)
    dialect = sample.dialect
    _require_format(columns, options.date_format)
    label = read_label(
        _find(columns, options.label),
        dialect.decimal,
        positive=options.positive,
        has_classes=options.has_classes,
        predict=options.predict,
    )
    date_column = None
    if options.date_column is not None or any(day is None for day in sample.days):
        wanted = _find(columns, options.date_column) if options.date_column is not None else None
        others = [column for column in columns if column is not label.column]
        date_column = choose_date_column(others, wanted, ask)
        if len(date_column.formats) > 1:
            chosen = choose_format(date_column, ask)
            return make_draft(raw, replace(options, date_column=date_column.header, date_format=chosen), ask)
    is_dated = date_column is None
    zone = ZoneInfo(options.time_zone or "UTC")
    days = read_days(sample, date_column, columns.index(date_column) if date_column else 0, zone)
    _note_skipped(columns, zone)
    key, doubles = _choose_key(sample, columns, days, options, label.column.name, ask)
    answers = [label.answer(text) for text in sample.cells(columns.index(label.column))]
    reasons: dict[str, str] = {}
    if is_dated:
        date_column, reasons = match_days(columns, label.column, sample, zone)
    unknown = [_find(columns, name) for name in options.without]
    fields, left_out = _choose_fields(sample, columns, [label.column, *unknown], label, date_column, answers)
    left_out |= {column.name: "named by --without" for column in unknown}
    left_out |= {name: reason for name, reason in reasons.items() if "leakage" not in left_out.get(name, "")}
    fields = [field for field in fields if field.name not in reasons]
    lookup_key = _choose_lookup_key(columns, fields)
    for field in [field for field in fields if field.is_wide and field.name != lookup_key]:
        left_out[field.name] = "a category of many values: write a lookup for it, and list it in identifiers"
        fields.remove(field)
    for field in fields[MAX_FIELDS - 2 :]:  # with the date and its time
        left_out[field.name] = f"a record has at most {MAX_FIELDS} fields"
    fields = fields[: MAX_FIELDS - 2]
    if not fields:
        raise RefusedError(
            f"No column of {len(columns)} can be an input", [f"{name!r}: {reason}" for name, reason in left_out.items()]
        )
    time_field = _time_field(date_column, columns)
    dates = count_dates(days, sample.seen, sample.file_days if is_dated else ())
    if len(dates.rows) < 2:
        raise RefusedError(
            f"All rows are of {dates.first}, expected two dates or more",
            remedy="A model learns from earlier dates than the judged.",
        )
    return Draft(
        options=options,
        dialect=dialect,
        columns=columns,
        label=label,
        key=key,
        date_column=date_column,
        is_dated=is_dated,
        time_field=time_field,
        fields=fields,
        left_out=left_out,
        lookup_key=lookup_key,
        dates=dates,
        torn=sample.torn,
        doubles=doubles,
        example=_example(fields, time_field, dialect.decimal),
    )


def _require_format(columns: Sequence[Column], wanted: str | None) -> None:
    """Refuse a format of the user that is of no column."""
    if wanted is None or any(form == wanted or _order(form) == _order(wanted) for column in columns for form in column.formats):
        return
    found = [f"{column.header!r} has dates of the form {column.format}" for column in columns if column.format]
    raise RefusedError(f"No column has dates of the form {wanted} in each row", found, "Remove --date-format, or correct it.")


def _order(form: str) -> str:
    return read_format(form).order


def _find(columns: Sequence[Column], name: str) -> Column:
    """Return a column by its name in the header or in the contract."""
    by_name = {column.name: column for column in columns} | {column.header: column for column in columns}
    if name not in by_name:
        shown = ", ".join(column.header for column in columns[:20])
        raise RefusedError(f"No column {name!r}.{did_you_mean(name, by_name)}", remedy=f"The header has {shown}.")
    return by_name[name]


def _note_skipped(columns: Sequence[Column], zone: ZoneInfo) -> None:
    """Note at each column of timestamps the local times that do not happen."""
    for column in columns:
        if column.type == "timestamp" and (skipped := [text for text in column.counts if is_skipped(text, zone)]):
            rows = sum(column.counts[text] for text in skipped)
            column.note = f"{rows} rows would go to quarantine: {zone.key} skips {skipped[0]}, as clocks are set forward"


def _choose_key(
    sample: Sample,
    columns: Sequence[Column],
    days: list[date | None],
    options: Options,
    label: str,
    ask: Ask | None,
) -> tuple[list[str], Doubles]:
    """Return the key, and the rows of the sample that have the key of an earlier row."""
    rows, first_days = sample.rows[: sample.head], days[: sample.head]
    wanted = list(options.key)
    if not wanted and (found := find_key(columns, rows, first_days, label)):
        return found, Doubles()
    if not wanted and ask is not None:
        text = "No combination of columns is unique within a date. Which columns identify a row?"
        wanted = list(ask(text, [column.header for column in columns]))
    if not wanted:
        refuse_key(sample, columns, days, label, options.time_zone)
    chosen = list(dict.fromkeys(_find(columns, name).name for name in wanted))
    by_name = {column.name: column for column in columns}
    if label in chosen:
        raise RefusedError(f"The label {label!r} cannot be part of the key", remedy="The key would reveal the answer.")
    empty = [f"{name!r} has no value in {by_name[name].nulls} rows" for name in chosen if by_name[name].nulls]
    doubles = find_doubles(sample, columns, days, chosen, options.time_zone)
    problems = empty + ([doubles.text] if doubles.rows else [])
    if empty or doubles.rows > MAX_DOUBLES * len(rows):
        raise RefusedError(f"{', '.join(chosen)} do not identify a row", problems, "Name other columns: --key COLUMN,COLUMN.")
    return chosen, doubles


def _choose_fields(
    sample: Sample,
    columns: Sequence[Column],
    excluded: Sequence[Column],
    label: Label,
    date_column: Column | None,
    answers: Sequence[bool | None],
) -> tuple[list[Field], dict[str, str]]:
    """Return the request fields in the order of the columns, and the reason of each other column that is none."""
    fields: list[Field] = []
    left_out: dict[str, str] = {}
    for index, column in enumerate(columns):
        if any(column is each for each in excluded):
            continue
        if column is date_column:
            left_out[column.name] = IS_DATE
            continue
        field = choose_field(column, sample.dialect.decimal)
        reason = field if isinstance(field, str) else None
        if column.distinct and (leak := find_leak(column, sample.cells(index), answers, label.sides, sample.dialect.decimal)):
            reason = f"suspected leakage: {leak}. Is it known before the label? Then add it to request and features.sql"
        if reason is not None:
            left_out[column.name] = reason
        elif isinstance(field, Field):
            fields.append(field)
    return fields, left_out


def _choose_lookup_key(columns: Sequence[Column], fields: Sequence[Field]) -> str | None:
    """Return the category with the most values, whose history says what a class of the model cannot; codes before phrases."""
    names = {field.name for field in fields if field.type == "category"}
    categories = [column for column in columns if column.name in names]
    best = max(categories, key=lambda column: (not any(" " in text for text in column.counts), column.distinct), default=None)
    return best.name if best else None


def _time_field(date_column: Column | None, columns: Sequence[Column]) -> str | None:
    """Return the name of the field with the time of a timestamp, or None if all times are midnight or there are none."""
    if date_column is None or date_column.type != "timestamp" or all(text[11:16] == "00:00" for text in date_column.counts):
        return None
    name = f"{date_column.name[:50]}_time"
    return name if all(column.name != name for column in columns) else None


def _example(fields: Sequence[Field], time_field: str | None, decimal: str) -> dict[str, JsonValue]:
    """Return the fields of a record that a caller could send, besides the date."""
    record: dict[str, JsonValue] = {}
    if time_field:
        record[time_field] = "12:00"
    for field in fields:
        value: Any = field.example
        if field.type == "number":
            value = read_cell("integer", field.example)
            value = read_cell("double", field.example, decimal) if value is None else value
        elif field.type == "boolean":
            value = read_cell("boolean", field.example)
        record[field.name] = value
    return record
