"""The rows of drops on their way to a clean table: judged by date, then shaped by the source's cleaning step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.job_file import TableToClean
from perennial.clean.step import prepare_step
from perennial.clean.verdict import EXAMPLES, Count, Example, Refusal, judge
from perennial.errors import RefusedError
from perennial.lake.days import REFERENCE
from perennial.spark.sql import run_query
from perennial.spark.tables import days_filter

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
    """Return the typed rows of accepted days that break no rule: what the cleaning step sees."""
    date_column = [] if list(days) == [REFERENCE] else ["date"]
    places = [] if table.step is None else [F.col(name).alias(f"__{name}") for name in ("file", "position")]
    good = rows.where(F.col("broken").isNull() & of_days(days))
    return good.select(*places, *date_column, *[F.col(f"value_{name}").alias(name) for name, _ in table.columns])


class Shape:
    """The cleaning step of a table, in SQL or Python, or none."""

    def __init__(self, spark: SparkSession, drop: DataFrame, table: TableToClean) -> None:
        self._spark = spark
        self._sql = table.sql
        self._step = None
        self.file = f"sources/{table.name}.{'sql' if table.step is None else 'py'}"
        self.is_a_step = table.sql is not None or table.step is not None
        if table.step is not None:
            self._step = prepare_step(drop, self.file, table.step)

    def apply(self, drop: DataFrame) -> DataFrame:
        """Return the rows that the step makes of good rows; one in Python adds its column of problems."""
        rows = self._run(drop)
        kind = {field.name: field.dataType for field in rows.schema}.get("date")
        if "date" in drop.columns and not isinstance(kind, T.DateType):
            raise RefusedError(
                f"{self.file}: expected a column date of type date, found {kind.simpleString() if kind else 'none'}",
                remedy="Return the column date of df unchanged." if self._step else "Select date from the view drop.",
            )
        return rows

    def _run(self, drop: DataFrame) -> DataFrame:
        if self._step is not None:
            return self._step(drop)
        if self._sql is None:
            return drop
        with _one_at_a_time:
            drop.createOrReplaceTempView(DROP)
            try:
                return run_query(self._spark, self.file, self._sql, (DROP,))
            finally:
                # Replacing the view would silently evict from Spark's cache the rows that another table read through it.
                self._spark.catalog.dropTempView(DROP)


def of_days(days: Sequence[str]) -> Column:
    """Return the condition that a row belongs to one of the days (ISO), or to the reference."""
    return F.col("date").isNull() if list(days) == [REFERENCE] else days_filter("date", days)


def _day() -> Column:
    # date_format would go by way of a midnight, which some days do not have in some time zones.
    return F.coalesce(F.col("date").cast("string"), F.lit(REFERENCE))
