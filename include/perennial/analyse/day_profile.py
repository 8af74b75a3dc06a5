"""The profile of a date: for every column of a clean table, how much there is, what is missing, how it is spread."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.lake.spark_sql import quoted, text_literal

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 5
_COLUMN = ("date", "`table`", "`column`", "type")


def profile(tables: dict[str, DataFrame]) -> DataFrame:
    """Return one row a date, table and column, exact: no sketches, so that one date alone and many at once agree."""
    cells = reduce(DataFrame.unionAll, [_cells(name, rows) for name, rows in sorted(tables.items())])
    counted = cells.groupBy(*_COLUMN, "text", "number").agg(F.expr("count(1) AS n"))
    ranked = counted.selectExpr(
        "*", f"row_number() OVER (PARTITION BY {', '.join(_COLUMN)} ORDER BY text IS NULL, n DESC, text) AS rank"
    )
    top = f"collect_list(CASE WHEN rank <= {TOP} AND text IS NOT NULL THEN struct(rank, text AS value, n AS count) END)"
    # Numbers are ordered as numbers, everything else as text.
    ordered = "CASE WHEN text IS NOT NULL THEN struct(number, text) END"
    quantiles = ", ".join(f"{share}D" for share in QUANTILES)
    summary = ranked.groupBy(*_COLUMN).agg(
        F.expr("sum(n) AS rows"),
        F.expr("sum(CASE WHEN text IS NULL THEN n ELSE 0 END) AS nulls"),
        F.expr("count(text) AS `distinct`"),
        F.expr(f"min({ordered}).text AS min"),
        F.expr(f"max({ordered}).text AS max"),
        F.expr(f"percentile(number, array({quantiles}), n) AS quantiles"),
        F.expr(f"to_json(transform(sort_array({top}), item -> struct(item.value AS value, item.count AS count))) AS top"),
    )
    each = [f"get(quantiles, {index}) AS q{round(100 * share):02d}" for index, share in enumerate(QUANTILES)]
    return summary.selectExpr(*_COLUMN, "rows", "nulls", "`distinct`", "min", "max", *each, "top")


def _cells(table: str, rows: DataFrame) -> DataFrame:
    """Return one row a cell: date, table, column, type, text, number."""
    cells = ", ".join(_cell(field) for field in rows.schema if field.name != "date")
    return rows.selectExpr("date", f"{text_literal(table)} AS `table`", f"inline(array({cells}))")


def _cell(field: T.StructField) -> str:
    column = quoted(field.name)
    number = f"CAST({column} AS DOUBLE)" if isinstance(field.dataType, T.NumericType) else "CAST(NULL AS DOUBLE)"
    name, kind = text_literal(field.name), text_literal(field.dataType.simpleString())
    return f"struct({name} AS `column`, {kind} AS type, CAST({column} AS STRING) AS text, {number} AS number)"
