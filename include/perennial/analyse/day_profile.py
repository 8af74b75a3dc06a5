"""The profile of a date: for every column of a clean table, how much there is, what is missing, how it is spread."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 5


def profile(tables: dict[str, DataFrame]) -> DataFrame:
    """Return one row a date, table and column, exact: no sketches, so that one date alone and many at once agree."""
    return reduce(DataFrame.unionByName, [_profile(name, rows) for name, rows in sorted(tables.items())])


def _profile(table: str, rows: DataFrame) -> DataFrame:
    cells = F.array(*[_cell(field) for field in rows.schema if field.name != "date"])
    counted = (
        rows.select("date", F.inline(cells)).groupBy("date", "column", "type", "text", "number").agg(F.count("*").alias("n"))
    )
    most_frequent = Window.partitionBy("date", "column", "type").orderBy(F.col("text").isNull(), F.col("n").desc(), "text")
    ranked = counted.withColumn("rank", F.row_number().over(most_frequent))
    is_top = (F.col("rank") <= TOP) & F.col("text").isNotNull()
    top = F.collect_list(F.when(is_top, F.struct("rank", F.col("text").alias("value"), F.col("n").alias("count"))))
    summary = ranked.groupBy("date", "column", "type").agg(
        F.sum("n").alias("rows"),
        F.sum(F.when(F.col("text").isNull(), F.col("n")).otherwise(0)).alias("nulls"),
        F.count("text").alias("distinct"),
        # Numbers are ordered as numbers, everything else as text.
        F.min(_ordered()).getField("text").alias("min"),
        F.max(_ordered()).getField("text").alias("max"),
        F.percentile("number", F.array(*[F.lit(q) for q in QUANTILES]), F.col("n")).alias("quantiles"),
        F.to_json(
            F.transform(F.sort_array(top), lambda item: F.struct(item["value"].alias("value"), item["count"].alias("count")))
        ).alias("top"),
    )
    quantiles = [F.get("quantiles", F.lit(i)).alias(f"q{round(100 * q):02d}") for i, q in enumerate(QUANTILES)]
    facts = [F.col(name) for name in ("column", "type", "rows", "nulls", "distinct", "min", "max")]
    return summary.select(F.col("date"), F.lit(table).alias("table"), *facts, *quantiles, F.col("top"))


def _cell(field: T.StructField) -> Column:
    column = F.col(field.name)
    number = column.cast("double") if isinstance(field.dataType, T.NumericType) else F.lit(None).cast("double")
    return F.struct(
        F.lit(field.name).alias("column"),
        F.lit(field.dataType.simpleString()).alias("type"),
        column.cast("string").alias("text"),
        number.alias("number"),
    )


def _ordered() -> Column:
    return F.when(F.col("text").isNotNull(), F.struct("number", "text"))
