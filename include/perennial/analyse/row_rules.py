"""The rules for a row of features.sql: values that a caller can send, a label, and a whole row key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.analyse.job_file import FeaturesQuery, Field
from perennial.analyse.merged import MAX_WHOLE
from perennial.config.limits import MAX_DATE, MAX_MINUTE, MAX_NUMBER, MAX_TEXT, MIN_DATE
from perennial.errors import RefusedError
from perennial.spark.sql import date_literal, quoted

MAX_DATES = 3
MAX_QUOTED = 40
_DEFAULTS = {"number": "0", "category": "'none'", "time": "0", "date": "DATE '1970-01-01'", "boolean": "FALSE"}


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A rule for one column.

    :param broken: the condition, in SQL, of the rows that break it
    :param found: the fault, as an error names it
    """

    column: str
    broken: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Checks:
    """
    The checks of the rows of a query.

    :param suspect: the condition, in SQL, of the rows that have to be looked at; if none satisfies it, all is well
    :param rules: rules for each row; rows that break one are refused
    :param numbers: columns that become 32-bit floats
    """

    suspect: str = "FALSE"
    rules: Sequence[Rule] = ()
    numbers: Sequence[str] = ()


NO_CHECKS = Checks()


def feature_rules(features: FeaturesQuery) -> list[Rule]:
    """Return the rules of features.sql."""
    rules = [rule for field in features.request for rule in _field_rules(field, features.file)]
    if features.label is not None:
        rules.append(
            _no_null(
                features.label,
                f"the label {features.label!r}",
                f"Leave these rows out in {features.file}: WHERE {features.label} IS NOT NULL. "
                "If the label is known on a later date, set label.known_after_days",
            )
        )
    required = {field.name for field in features.request if not field.nullable}
    return [*rules, *_key_rules([name for name in features.row_key if name not in required], features.file)]


def feature_checks(features: FeaturesQuery) -> Checks:
    """Return the checks of features.sql. labels.sql has none: a label there may be null, and its row is left out."""
    label = [] if features.label is None else [features.label]
    required = [*(field.name for field in features.request if not field.nullable), *features.row_key, *label]
    return Checks(_suspect(features.request, required), feature_rules(features), features.numbers)


def _suspect(request: Sequence[Field], required: Sequence[str]) -> str:
    """
    Return a condition, in SQL, of all rows that break a rule or hold a number that a 32-bit float rounds.

    Spark plans it for every run, and planning costs more than the rows of a day. So it has few terms, and rows that break no
    rule may satisfy it. GREATEST passes over null; NaN is greater than any number.
    """
    columns: dict[str, list[str]] = {}
    for field in request:
        columns.setdefault(field.type, []).append(quoted(field.name))
    texts = [quoted(field.name) for field in request if field.type == "category" and not field.nullable]
    conditions = [f"{quoted(name)} IS NULL" for name in dict.fromkeys(required)]
    if texts:
        conditions.append(f"'' IN ({', '.join(texts)})")
    if names := columns.get("category"):
        conditions.append(f"{_greatest('char_length', names)} > {MAX_TEXT}")
    if names := columns.get("number"):
        conditions.append(f"NOT {_greatest('abs', names)} < {MAX_WHOLE}")
    conditions += [f"NOT {name} BETWEEN 0 AND {MAX_MINUTE}" for name in columns.get("time", ())]
    conditions += [f"NOT year({name}) BETWEEN {MIN_DATE.year} AND {MAX_DATE.year}" for name in columns.get("date", ())]
    return " OR ".join(conditions)


def _greatest(function: str, names: Sequence[str]) -> str:
    calls = [f"{function}({name})" for name in names]
    return calls[0] if len(calls) == 1 else f"greatest({', '.join(calls)})"


def refuse_broken(rows: DataFrame, file: str, rules: Sequence[Rule], day_column: str, key: Sequence[str]) -> None:
    """Refuse rows if some break a rule: name every broken rule with its number of rows, their dates and an example."""
    if not rules:
        return
    names = dict.fromkeys([*key, *(rule.column for rule in rules)])
    texts = ", ".join(f"CAST({quoted(name)} AS STRING) AS {quoted(name)}" for name in names)
    day = quoted(day_column)
    facts = [
        f"struct(count_if({rule.broken}) AS rows, "
        f"sort_array(collect_set(CASE WHEN {rule.broken} THEN {day} END)) AS days, "
        f"min(CASE WHEN {rule.broken} THEN struct({day} AS __day, {texts}) END) AS example)"
        for rule in rules
    ]
    summary: Any = rows.agg(*map(F.expr, facts)).first()
    quotes = {field.name for field in rows.schema if isinstance(field.dataType, T.StringType)}
    problems = [_describe(rule, broken, key, quotes) for rule, broken in zip(rules, summary, strict=True) if broken["rows"]]
    if problems:
        raise RefusedError(f"{file}: rows that do not fit pipeline.yaml", problems)


def _describe(rule: Rule, broken: Row, key: Sequence[str], quotes: Collection[str]) -> str:
    count, days, example = broken["rows"], broken["days"], broken["example"]
    more = f" and {len(days) - MAX_DATES} more dates" if len(days) > MAX_DATES else ""
    shown = {name: _show(example[name], is_text=name in quotes) for name in (rule.column, *key)}
    place = ", ".join(f"{name}={shown[name]}" for name in key if name != rule.column)
    return (
        f"{rule.found} in {count} {'row' if count == 1 else 'rows'} of {', '.join(map(str, days[:MAX_DATES]))}{more}, "
        f"for example {shown[rule.column]}{f' where {place}' if place else ''}. {rule.remedy}"
    )


def _show(text: str | None, *, is_text: bool) -> str:
    if text is None or not is_text:
        return text or "null"
    return repr(text) if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]!r}… of {len(text)} characters"


def _field_rules(field: Field, file: str) -> Iterator[Rule]:
    """Yield the rules for a request field: the values that the model server takes."""
    name, column = field.name, quoted(field.name)
    what = f"request field {name!r} ({field.type})"
    if not field.nullable:
        absent = {"category": f" OR {column} = ''", "number": f" OR isnan({column})"}.get(field.type, "")
        word = {"category": "null or ''", "number": "null or NaN"}.get(field.type, "null")
        value = "NULLIF(…, '')" if field.type == "category" else "…"
        remedy = (
            f"Write `{name}: {field.type}?` in pipeline.yaml if a caller may send null; "
            f"otherwise COALESCE({value}, {_DEFAULTS[field.type]}) AS {name} in {file}"
        )
        yield Rule(name, f"{column} IS NULL{absent}", f"{what} is {word}", remedy)
    match field.type:
        case "category":
            yield Rule(
                name,
                f"char_length({column}) > {MAX_TEXT}",
                f"{what} is longer than {MAX_TEXT} characters, the limit of a request,",
                f"Write SUBSTRING(…, 1, {MAX_TEXT}) AS {name} in {file}, and in the request; "
                f"or let `max_length: {MAX_TEXT}` of the column in pipeline.yaml send these rows to quarantine",
            )
        case "number":
            yield Rule(
                name,
                f"abs({column}) > {MAX_NUMBER!r}D AND NOT isnan({column})",
                f"{what} is beyond a 32-bit float",
                f"Return null for these rows in {file}, or declare a range in pipeline.yaml for the column that it reads",
            )
        case "time":
            yield Rule(
                name,
                f"NOT {column} BETWEEN 0 AND {MAX_MINUTE}",
                f"{what} is not a minute of a day, 0 to {MAX_MINUTE},",
                f"Write HOUR(…) * 60 + MINUTE(…) AS {name} in {file}",
            )
        case "date":
            yield Rule(
                name,
                f"NOT {column} BETWEEN {date_literal(MIN_DATE)} AND {date_literal(MAX_DATE)}",
                f"{what} is not a date from {MIN_DATE} to {MAX_DATE}",
                f"Return null for these rows in {file}",
            )


def _key_rules(row_key: Sequence[str], file: str) -> Iterator[Rule]:
    for name in row_key:
        remedy = f"Every row needs its whole key: write COALESCE(…) AS {name} in {file}, or remove it from row_key"
        yield _no_null(name, f"column {name!r} of row_key", remedy)


def _no_null(name: str, what: str, remedy: str) -> Rule:
    return Rule(name, f"{quoted(name)} IS NULL", f"{what} is null", remedy)
