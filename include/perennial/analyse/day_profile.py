"""The profile of a date: for each column of a clean table, its number of rows, its nulls and its distribution."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.analyse.big_profile import most_frequent, quantiles
from perennial.spark.sql import quoted, text_literal

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 5


def profile(tables: dict[str, DataFrame], *, is_big: bool = False) -> DataFrame:
    """
    Return one row for each date, table and column.

    It uses no sketches: the values are exact, so a date alone and a date in a batch give the same result.

    :param is_big: whether a column may have too many values for one task
    """
    columns = [(name, field) for name, rows in sorted(tables.items()) for field in rows.schema if field.name != "date"]
    cells = reduce(DataFrame.unionAll, [_cells(name, rows, columns) for name, rows in sorted(tables.items())])
    # The distinct values of each column are far fewer than its cells, so the rest works on them.
    counts = cells.groupBy("date", "place", "text").agg(F.expr("count(1) AS n"))
    numbers = [str(place) for place, (_, field) in enumerate(columns) if isinstance(field.dataType, T.NumericType)]
    number = f"CASE WHEN place IN ({', '.join(numbers)}) THEN CAST(text AS DOUBLE) END" if numbers else "CAST(NULL AS DOUBLE)"
    counted = counts.selectExpr("*", f"{number} AS number")
    summary = _summarize_big(counted) if is_big else _summarize(counted)
    named = ", ".join(
        f"struct({text_literal(table)} AS `table`, {text_literal(field.name)} AS `column`, "
        f"{text_literal(field.dataType.simpleString())} AS type)"
        for table, field in columns
    )
    each = [f"get(quantiles, {index}) AS q{round(100 * share):02d}" for index, share in enumerate(QUANTILES)]
    facts = ["rows", "nulls", "`distinct`", "min", "max", *each, "top"]
    return summary.selectExpr("date", f"inline(array(get(array({named}), place)))", *facts)


def _summarize(counted: DataFrame) -> DataFrame:
    """Return the facts of each date and place: one task holds the values of a column."""
    order = "ORDER BY text IS NULL, n DESC, text"
    ranked = counted.selectExpr("*", f"row_number() OVER (PARTITION BY date, place {order}) AS rank")
    shares = ", ".join(f"{share}D" for share in QUANTILES)
    return ranked.groupBy("date", "place").agg(
        *map(F.expr, _FACTS),
        F.expr(f"percentile(number, array({shares}), n) AS quantiles"),
        F.expr(_top(f"CASE WHEN rank <= {TOP} AND text IS NOT NULL THEN struct(rank, text AS value, n AS count) END")),
    )


def _summarize_big(counted: DataFrame) -> DataFrame:
    """Return the same facts in steps that many tasks share."""
    counted = counted.persist()
    facts = counted.groupBy("date", "place").agg(*map(F.expr, _FACTS))
    frequent = most_frequent(counted, TOP).groupBy("date", "place")
    top = frequent.agg(F.expr(_top("struct(rank, text AS value, n AS count)")))
    of_column = quantiles(counted, QUANTILES)
    # A column that is null throughout has no frequent values.
    return (
        facts.join(top, ["date", "place"], "left")
        .join(of_column, ["date", "place"], "left")
        .withColumn("top", F.coalesce("top", F.lit("[]")))
    )


_ORDERED = "CASE WHEN text IS NOT NULL THEN struct(number, text) END"
_FACTS = (
    "sum(n) AS rows",
    "sum(CASE WHEN text IS NULL THEN n ELSE 0 END) AS nulls",
    "count(text) AS `distinct`",
    # Numbers are ordered as numbers, everything else as text.
    f"min({_ORDERED}).text AS min",
    f"max({_ORDERED}).text AS max",
)


def _top(item: str) -> str:
    """Return the SQL of the most frequent values as JSON."""
    return (
        f"to_json(transform(sort_array(collect_list({item})), item -> struct(item.value AS value, item.count AS count))) AS top"
    )


def _cells(table: str, rows: DataFrame, columns: list[tuple[str, T.StructField]]) -> DataFrame:
    """Return one row for each cell: date, place of its column among all columns, text."""
    cells = ", ".join(
        f"struct({place} AS place, CAST({quoted(field.name)} AS STRING) AS text)"
        for place, (name, field) in enumerate(columns)
        if name == table
    )
    return rows.selectExpr("date", f"inline(array({cells}))")
