"""The SQL files of a draft. Names are valid column names, so nothing from a file of data becomes SQL but checked words."""

from __future__ import annotations

from functools import cache

from perennial.scaffold.columns import free_name
from perennial.scaffold.draft import Draft

TABLE = "records"
_HISTORY = {
    "binary": ("rates", "positive_rate"),
    "multiclass": ("rates", "class_rate"),
    "regression": ("means", "label_mean"),
}
"""The end of the lookup's name, and the name of its value."""

LOOKBACK_DAYS = 28
PRIOR_ROWS = 20


def features_sql(draft: Draft) -> str:
    """Return the text of features.sql: the row key, the request fields and the label, each once."""
    fields = {field.name: field for field in draft.fields}
    items = ["r.date"]
    names = dict.fromkeys([*draft.key, *fields])
    for name in names:
        is_cast = name in fields and fields[name].is_cast
        items.append(f"CAST(r.{quote(name)} AS STRING) AS {quote(name)}" if is_cast else f"r.{quote(name)}")
    if draft.time_field and draft.date_column:
        moment = f"r.{quote(draft.date_column.name)}"
        items.append(f"CAST(HOUR({moment}) * 60 + MINUTE({moment}) AS INT) AS {quote(draft.time_field)}")
    label = quote(draft.label.column.name)
    items.append(f"CAST(r.{label} AS INT) AS {label}" if draft.label.is_cast else f"r.{label}")
    return "\n".join(
        [
            "-- One row a record with a label: row key, request fields, label. Perennial joins the lookup values.",
            "SELECT",
            ",\n".join(f"  {item}" for item in items),
            f"FROM {TABLE} r",
            "JOIN dates d ON r.date = d.date",
            f"WHERE r.{label} IS NOT NULL",
            "",
        ]
    )


def lookup_name(draft: Draft) -> str | None:
    """Return the name of the lookup, or None if the draft has no category."""
    end, _ = _HISTORY[draft.label.target.task]
    return f"{draft.lookup_key.strip('_')[:34].rstrip('_')}_{end}" if draft.lookup_key else None


def rate_name(draft: Draft) -> str:
    """Return the name of the lookup's value, which no column has."""
    _, name = _HISTORY[draft.label.target.task]
    return free_name(name, {column.name for column in draft.columns})


def lookup_sql(draft: Draft) -> str:
    """Return the text of the lookup: the mean of a number, or the share of the label's value, of each key before a midnight."""
    name = str(draft.lookup_key)
    field = next(field for field in draft.fields if field.name == name)
    key = f"CAST(r.{quote(name)} AS STRING)" if field.is_cast else f"r.{quote(name)}"
    label, base = f"r.{quote(draft.label.column.name)}", draft.label.base
    is_number = draft.label.value is None
    history = f"mean of {draft.label.column.name}" if is_number else f"share of rows whose label is {draft.label.sides[0]}"
    total = f"SUM({label})" if is_number else f"COUNT_IF({_is_value(draft, label)})"
    return "\n".join(
        [
            f"-- The {history}, of each {name} over the {LOOKBACK_DAYS} days before as_of.",
            f"-- {PRIOR_ROWS} rows of the overall {history.split()[0]}, {base:g}, are added to each: few rows say little.",
            "SELECT",
            "  d.as_of,",
            f"  {key} AS {quote(name)},",
            f"  ({total} + {PRIOR_ROWS * base:g}) / (COUNT(*) + {PRIOR_ROWS}) AS {rate_name(draft)}",
            "FROM dates d",
            f"JOIN {TABLE} r ON r.date >= DATE_SUB(d.as_of, {LOOKBACK_DAYS}) AND r.date < d.as_of",
            f"WHERE {label} IS NOT NULL",
            f"GROUP BY d.as_of, {key}",
            "",
        ]
    )


def _is_value(draft: Draft, label: str) -> str:
    value = draft.label.value
    if isinstance(value, bool):
        return label if value else f"NOT {label}"
    # A text is checked to be a plain word: it holds neither quote nor backslash.
    return f"{label} = '{value}'" if isinstance(value, str) else f"{label} = {value}"


def quote(name: str) -> str:
    """Return a column name as SQL needs it: in backticks if it is a word of SQL."""
    return f"`{name}`" if name.upper() in _words() or name.startswith("_") else name


@cache
def _words() -> frozenset[str]:
    from sqlglot.dialects.spark import Spark

    return frozenset(word for key in Spark.Tokenizer.KEYWORDS for word in key.split()) | {"TIME", "DATE", "VALUE", "KEY", "USER"}
