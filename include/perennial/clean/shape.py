"""The rows of drops on their way to a clean table: judged by date, then shaped by the source's SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.job_file import TableToClean
from perennial.clean.verdict import EXAMPLES, Count, Example, Refusal, judge
from perennial.errors import RefusedError
from perennial.spark.sql import run_query
from perennial.spark.tables import REFERENCE, days_filter

DROP = "drop"
_one_at_a_time = Lock()
"""All tables share the view `drop`, until the query over it is planned."""


def judge_days(rows: DataFrame, table: TableToClean) -> tuple[dict[str, int], dict[str, Refusal]]:
    """Return the number of rows to quarantine for each accepted day, and the refusals of the other days."""
    counts: dict[str, list[Count]] = defaultdict(list)
    for row in rows.groupBy(_day().alias("day"), "broken.column", "broken.rule").count().collect():
        counts[row["day"]].append(Count(row["column"], row["rule"], row["count"]))
    accepted, refused = {}, {}
    for day, drop in table.days.items():
        expected = sum(file.rows for file in drop.files)
        quarantined, refusal = judge(counts[day], expected, table.max_quarantine_share)
        if refusal is None:
            accepted[day] = quarantined
        else:
            refused[day] = replace(refusal, examples=broken_examples(rows, day))
    return accepted, refused


def broken_examples(rows: DataFrame, day: str) -> tuple[Example, ...]:
    """Return the first rows of a day that break a rule."""
    broken = rows.where((_day() == day) & F.col("broken").isNotNull()).select("file", "position", "broken.*")
    return tuple(Example(**row.asDict()) for row in broken.orderBy("file", "position").limit(EXAMPLES).collect())


def good_rows(rows: DataFrame, table: TableToClean, days: Sequence[str]) -> DataFrame:
    """Return the typed rows of accepted days that break no rule: what the view `drop` shows."""
    date_column = [] if list(days) == [REFERENCE] else ["date"]
    good = rows.where(F.col("broken").isNull() & of_days(days))
    return good.select(*date_column, *[F.col(f"value_{name}").alias(name) for name, _ in table.columns])


def shape(spark: SparkSession, drop: DataFrame, table: TableToClean) -> DataFrame:
    """Return the rows of the clean table: those of the view `drop`, or of the source's SQL over it."""
    if table.sql is None:
        return drop
    file = f"sources/{table.name}.sql"
    with _one_at_a_time:
        drop.createOrReplaceTempView(DROP)
        try:
            rows = run_query(spark, file, table.sql, (DROP,))
        finally:
            # Replacing the view would silently evict from Spark's cache the rows that another table read through it.
            spark.catalog.dropTempView(DROP)
    kind = {field.name: field.dataType for field in rows.schema}.get("date")
    if "date" in drop.columns and not isinstance(kind, T.DateType):
        raise RefusedError(
            f"{file}: expected a column date of type date, found {kind.simpleString() if kind else 'none'}",
            remedy="Select date from the view drop.",
        )
    return rows


def of_days(days: Sequence[str]) -> Column:
    """Return the condition that a row belongs to one of the days (ISO), or to the reference."""
    return F.col("date").isNull() if list(days) == [REFERENCE] else days_filter("date", days)


def _day() -> Column:
    return F.coalesce(F.date_format("date", "yyyy-MM-dd"), F.lit(REFERENCE))
