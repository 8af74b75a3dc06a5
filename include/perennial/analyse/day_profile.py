"""The profile of a date: for each column of a clean table, its number of rows, its nulls and its distribution."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.spark.sql import quoted, text_literal

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 5


def profile(tables: dict[str, DataFrame]) -> DataFrame:
    """
    Return one row for each date, table and column.

    It uses no sketches: the values are exact, so a date alone and a date in a batch give the same result.
    """
    columns = [(name, field) for name, rows in sorted(tables.items()) for field in rows.schema if field.name != "date"]
    cells = reduce(DataFrame.unionAll, [_cells(name, rows, columns) for name, rows in sorted(tables.items())])
    # The distinct values of each column are far fewer than its cells, so the rest works on them.
    counted = cells.groupBy("date", "place", "text").agg(F.expr("count(1) AS n"))
    numbers = [str(place) for place, (_, field) in enumerate(columns) if isinstance(field.dataType, T.NumericType)]
    number = f"CASE WHEN place IN ({', '.join(numbers)}) THEN CAST(text AS DOUBLE) END" if numbers else "CAST(NULL AS DOUBLE)"
    order = "ORDER BY text IS NULL, n DESC, text"
    ranked = counted.selectExpr("*", f"{number} AS number", f"row_number() OVER (PARTITION BY date, place {order}) AS rank")
    top = f"collect_list(CASE WHEN rank <= {TOP} AND text IS NOT NULL THEN struct(rank, text AS value, n AS count) END)"
    # Numbers are ordered as numbers, everything else as text.
    ordered = "CASE WHEN text IS NOT NULL THEN struct(number, text) END"
    quantiles = ", ".join(f"{share}D" for share in QUANTILES)
    summary = ranked.groupBy("date", "place").agg(
        F.expr("sum(n) AS rows"),
        F.expr("sum(CASE WHEN text IS NULL THEN n ELSE 0 END) AS nulls"),
        F.expr("count(text) AS `distinct`"),
        F.expr(f"min({ordered}).text AS min"),
        F.expr(f"max({ordered}).text AS max"),
        F.expr(f"percentile(number, array({quantiles}), n) AS quantiles"),
        F.expr(f"to_json(transform(sort_array({top}), item -> struct(item.value AS value, item.count AS count))) AS top"),
    )
    named = ", ".join(
        f"struct({text_literal(table)} AS `table`, {text_literal(field.name)} AS `column`, "
        f"{text_literal(field.dataType.simpleString())} AS type)"
        for table, field in columns
    )
    each = [f"get(quantiles, {index}) AS q{round(100 * share):02d}" for index, share in enumerate(QUANTILES)]
    facts = ["rows", "nulls", "`distinct`", "min", "max", *each, "top"]
    return summary.selectExpr("date", f"inline(array(get(array({named}), place)))", *facts)


def _cells(table: str, rows: DataFrame, columns: list[tuple[str, T.StructField]]) -> DataFrame:
    """Return one row for each cell: date, place of its column among all columns, text."""
    cells = ", ".join(
        f"struct({place} AS place, CAST({quoted(field.name)} AS STRING) AS text)"
        for place, (name, field) in enumerate(columns)
        if name == table
    )
    return rows.selectExpr("date", f"inline(array({cells}))")
