"""The SQL files of a draft. Names are valid column names, so nothing from a file of data becomes SQL but checked words."""

from __future__ import annotations

from functools import cache

from perennial.scaffold.columns import free_name
from perennial.scaffold.draft import Draft

TABLE = "records"
_RATE = "positive_rate"
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
    return f"{draft.lookup_key.strip('_')[:34].rstrip('_')}_rates" if draft.lookup_key else None


def rate_name(draft: Draft) -> str:
    """Return the name of the lookup's value, which no column has."""
    return free_name(_RATE, {column.name for column in draft.columns})


def lookup_sql(draft: Draft) -> str:
    """Return the text of the lookup: the share of positive rows of each value before a midnight."""
    name = str(draft.lookup_key)
    field = next(field for field in draft.fields if field.name == name)
    key = f"CAST(r.{quote(name)} AS STRING)" if field.is_cast else f"r.{quote(name)}"
    label, base, rate = f"r.{quote(draft.label.column.name)}", round(draft.label.share, 4), rate_name(draft)
    return "\n".join(
        [
            f"-- The share of positive rows of each {name} over the {LOOKBACK_DAYS} days before as_of.",
            f"-- {PRIOR_ROWS} rows of the overall share, {base}, are added to each: few rows say little.",
            "SELECT",
            "  d.as_of,",
            f"  {key} AS {quote(name)},",
            f"  (COUNT_IF({_is_positive(draft, label)}) + {PRIOR_ROWS * base:.3f}) / (COUNT(*) + {PRIOR_ROWS}) AS {rate}",
            "FROM dates d",
            f"JOIN {TABLE} r ON r.date >= DATE_SUB(d.as_of, {LOOKBACK_DAYS}) AND r.date < d.as_of",
            f"WHERE {label} IS NOT NULL",
            f"GROUP BY d.as_of, {key}",
            "",
        ]
    )


def _is_positive(draft: Draft, label: str) -> str:
    positive = draft.label.positive
    if isinstance(positive, bool):
        return label if positive else f"NOT {label}"
    # A text is checked to be a plain word: it holds neither quote nor backslash.
    return f"{label} = '{positive}'" if isinstance(positive, str) else f"{label} = {positive}"


def quote(name: str) -> str:
    """Return a column name as SQL needs it: in backticks if it is a word of SQL."""
    return f"`{name}`" if name.upper() in _words() or name.startswith("_") else name


@cache
def _words() -> frozenset[str]:
    from sqlglot.dialects.spark import Spark

    return frozenset(word for key in Spark.Tokenizer.KEYWORDS for word in key.split()) | {"TIME", "DATE", "VALUE", "KEY", "USER"}
