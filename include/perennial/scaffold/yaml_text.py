"""The pipeline.yaml of a draft: a comment on each line says where its value comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from perennial.config.candidates import default_candidates
from perennial.scaffold.cells import read_cell
from perennial.scaffold.columns import Column, free_name
from perennial.scaffold.draft import Draft
from perennial.scaffold.sql_text import LOOKBACK_DAYS, TABLE, lookup_name, rate_name

Line = tuple[str, str]
"""A line of YAML, and its comment."""

MAX_BYTES = 150_000
_MAX_ENUM = 8
_MIN_ENUM_ROWS = 20
_MAX_ENUM_TEXT = 200
_MAX_SUGGESTED = 1e300
_MAX_EXAMPLES = 5
_MAX_COMMENT_AT = 70
_WORDS = {"null", "true", "false"}


def pipeline_yaml(draft: Draft, today: date) -> str:
    """
    Return the text of pipeline.yaml.

    :param today: data that ended more than a week before gets an `end`
    """
    blocks = [_head(draft, today), _source(draft), _columns(draft), _label(draft), _request(draft), _rest(draft), _numbers(draft)]
    lines = [list(block) for block in blocks]
    whole = "\n".join(line for block in lines for line in _align(block))
    if len(whole.encode()) <= MAX_BYTES:
        return whole + "\n"
    # Hundreds of columns: their comments would make the file larger than one that is read. The README has the reasons.
    return "\n".join(yaml for block in lines for yaml, comment in block if yaml or not comment) + "\n"


def _head(draft: Draft, today: date) -> Iterator[Line]:
    options, dates = draft.options, draft.dates
    yield f"name: {word(options.name)}", "the folder's name; the DAG is retrain_" + options.name
    yield f"title: {text(f'Predicts {draft.label.column.name}')}", "one line for people"
    yield f"start: {dates.first}", "the first date of the data"
    if dates.has_ended(today):
        yield f"end: {dates.last}", "the last date of the data; remove it when data keeps arriving"
    zone = "" if options.time_zone else "; --time-zone chooses another"
    yield f"time_zone: {draft.time_zone}", f"a date is a local day of this zone{zone}"
    if dates.weekdays:
        yield "calendar:", ""
        yield f"  weekdays: [{', '.join(dates.weekdays)}]", "no other weekday has data: they are rest dates, and no gaps"
    yield "", ""


def _source(draft: Draft) -> Iterator[Line]:
    yield "sources:", ""
    yield f"  {TABLE}:", ""
    yield f'    uri: "s3://landing/{draft.options.name}/{TABLE}/date={{date}}/"', "the landing zone: one folder a date"
    if settings := draft.dialect.settings:
        pairs = ", ".join(f"{name}: {text(str(value))}" for name, value in settings.items())
        yield f"    csv: {{{pairs}}}", "the dialect of the files, where it is not the default"
    doubled = (
        f"{draft.doubles.rows} rows of the sample repeat it and would go to quarantine"
        if draft.doubles.rows
        else "unique in the sample"
    )
    yield f"    key: {words(draft.key)}", f"identifies a row of a date; {doubled}"
    least = max(1, min(draft.dates.rows.values()) // 2)
    yield "    min_rows: 1", f"fewer rows refuse a drop; the smallest date of the sample suggests {least}"
    yield f"    max_quarantine_share: {draft.dates.quarantine_share}", "more bad rows refuse a date"
    yield "    columns:", "every column of the files"


def _columns(draft: Draft) -> Iterator[Line]:
    for column in draft.columns:
        rules, comment = _rules(column, draft.dialect.decimal, is_label=column is draft.label.column)
        pairs = ", ".join(f"{name}: {value}" for name, value in rules.items())
        yield f"      {word(column.name)}: {{{pairs}}}", "; ".join(filter(None, [comment, column.note]))
    yield "", ""


def _rules(column: Column, decimal: str, *, is_label: bool) -> tuple[dict[str, str], str]:
    """Return the rules of a column, and what was seen."""
    rules: dict[str, str] = {}
    if column.header != column.name:
        rules["from"] = text(column.header)
    rules["type"] = column.type
    if column.format is not None:
        rules["format"] = text(column.format)
    if not column.nulls and column.distinct and not is_label:
        rules["required"] = "true"
    if column.null_text is not None:
        rules["null_text"] = text(column.null_text)
    nulls = f", empty in {column.nulls} of {column.nulls + column.rows} rows" if column.nulls else ""
    if not column.distinct:
        return rules, "empty in every row of the sample"
    values = [read_cell(column.type, value, decimal) for value in column.counts]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if column.type in ("integer", "double"):
        seen = f"{min(numbers):g} to {max(numbers):g}{nulls}"
        if max(map(abs, numbers)) > _MAX_SUGGESTED:
            return rules, seen
        low, high = _slack(min(numbers), max(numbers))
        return rules, f"{seen}; to refuse others: range: [{low:g}, {high:g}]"
    if column.type != "string":
        return rules, f"{_show(min(column.counts))} to {_show(max(column.counts))}{nulls}"
    is_short = column.longest <= _MAX_ENUM_TEXT
    if is_short and column.distinct <= _MAX_ENUM and min(column.counts.values()) >= _MIN_ENUM_ROWS:
        rules["enum"] = f"[{', '.join(map(text, sorted(column.counts)))}]"
        return rules, f"{column.distinct} values{nulls}; another value goes to quarantine"
    rules["max_length"] = str(max(20, _round_up(2 * column.longest)))
    examples = ", ".join(_show(value) for value, _ in column.counts.most_common(_MAX_EXAMPLES))
    more = ", …" if column.distinct > _MAX_EXAMPLES else ""
    return rules, f"{column.distinct} values of up to {column.longest} characters{nulls}: {examples}{more}"


def _label(draft: Draft) -> Iterator[Line]:
    target, comment = draft.label.target, draft.label.summary
    if target.task == "binary":
        setting = f"positive: {_scalar(target.positive)}"
    elif target.task == "multiclass":
        yield "task: multiclass", "the label is one of several classes"
        setting = f"classes: [{', '.join(map(_scalar, target.classes))}]"
        comment = f"in the order of the answers; {comment}"
    else:
        yield "task: regression", "the label is a number"
        setting = f"predict: {target.predict}"
    yield f"label: {{column: {word(target.column)}, {setting}}}", comment
    yield f"row_key: {words(draft.key)}", "with the date, identifies a row of features.sql"
    yield "", ""


def _request(draft: Draft) -> Iterator[Line]:
    by_name = {column.name: column for column in draft.columns}
    yield "inputs:", ""
    yield "  request:", "the fields that a caller sends; ? allows null"
    yield "    date: date", "the date of the row"
    if draft.time_field and draft.date_column:
        yield f"    {word(draft.time_field)}: time", f"the time of {draft.date_column.name}, computed in features.sql"
    for field in draft.fields:
        column = by_name[field.name]
        nulls = f"null in {column.nulls} rows of the sample" if field.nullable else "never null in the sample"
        wide = f"; {column.distinct} values: only the lookup uses it" if field.is_wide else ""
        yield f"    {word(field.name)}: {field.type}{'?' if field.nullable else ''}", nulls + wide
    for name, reason in draft.left_out.items():
        yield "", f"left out: {name}: {reason}"


def _rest(draft: Draft) -> Iterator[Line]:
    if wide := [field.name for field in draft.fields if field.is_wide]:
        yield f"  identifiers: {words(wide)}", "keys of lookups that the model does not see"
    taken = {column.name for column in draft.columns} | {draft.time_field}
    derived = {"weekday": "weekday(date)"}
    if draft.time_field:
        derived["hour"] = f"hour_of_day({draft.time_field})"
    names = {free_name(name, taken): formula for name, formula in derived.items()}
    yield "  derived:", "computed inside the model"
    for name, formula in names.items():
        yield f"    {name}: {formula}", "a class, not a quantity"
    yield f"  categories: {words(list(names))}", "derived inputs that are classes"
    if draft.lookup_key:
        yield "  lookups:", ""
        yield (
            f"    {lookup_name(draft)}: {{key: {words([draft.lookup_key])}, values: [{rate_name(draft)}]}}",
            f"lookups/{lookup_name(draft)}.sql: its history of {LOOKBACK_DAYS} days",
        )
    yield "", ""


def _numbers(draft: Draft) -> Iterator[Line]:
    dates = draft.dates
    share = draft.label.positive_share
    training, floors = dates.training(share), dates.floors(share)
    notes = {
        "window_days": "calendar days to learn from",
        "holdout_days": "the last dates, to judge on",
        "min_days": f"fewer dates in window and holdout train nothing; the data has {len(dates.rows)}",
        "lookback_days": "the days that lookups read",
    }
    yield "training:", ""
    for name, value in training.items():
        yield f"  {name}: {value}", notes[name]
    candidates = default_candidates(draft.label.target.task, draft.label.target.settings.get("predict"))
    yield f"  candidates: {words(candidates)}", "the models that compete: docs/reference/candidates.md"
    yield "gate:", ""
    yield "  floors:", "the least that a holdout must have"
    rows = sum(dates.rows.values()) / len(dates.rows)
    per_day = {"rows": rows, "positives": rows * (share or 0)}
    for name, value in floors.items():
        yield f"    {name}: {value}", f"about {per_day[name]:,.1f} {name} a date"
    yield f"  min_days: {min(7, training['holdout_days'])}", "the least dates in the holdout"


def _align(lines: Sequence[Line]) -> Iterator[str]:
    """Yield lines of YAML with their comments below each other."""
    width = min(_MAX_COMMENT_AT, max((len(yaml) for yaml, comment in lines if comment), default=0))
    for yaml, comment in lines:
        indent = "    " if not yaml and comment else ""
        yield f"{indent}# {comment}" if indent else f"{yaml:<{width}}  # {comment}" if comment else yaml


def text(value: str) -> str:
    """Return a text in double quotes, as YAML reads it."""
    shown = json.dumps(value, ensure_ascii=False)
    # Not the pairs of \\u escapes that JSON has for rare characters: YAML reads them as two characters.
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in shown)


def _scalar(value: bool | int | str) -> str:
    return text(value) if isinstance(value, str) else str(value).lower()


def word(name: str) -> str:
    """Return a name; in quotes if YAML would read another value."""
    return text(name) if name in _WORDS else name


def words(names: Iterable[str]) -> str:
    """Return a list of names."""
    return f"[{', '.join(map(word, names))}]"


def _show(value: str) -> str:
    """Return a value for a comment: on one line, and short."""
    return text(value if len(value) <= 30 else value[:30] + "…")


def _slack(low: float, high: float) -> tuple[float, float]:
    """Return a range about twice as wide; one without negative numbers stays so."""
    span = max(high - low, abs(high), 1)
    return (-_round_up(span - low) if low < 0 else 0), _round_up(high + span / 2) if high > 0 else 0


def _round_up(value: float) -> int:
    """Return the next number with one digit before its zeros, or five: 20, 50, 100."""
    size = 10 ** math.floor(math.log10(max(value, 1)))
    return int(next(step * size for step in (1, 2, 5, 10) if step * size >= value))
