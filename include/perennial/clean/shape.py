"""The rows of drops on their way to a clean table: judged by date, then shaped by the source's cleaning step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.job_file import TableToClean
from perennial.clean.step import prepare_step
from perennial.clean.verdict import EXAMPLES, Count, Example, Refusal, judge
from perennial.errors import RefusedError
from perennial.lake.days import REFERENCE
from perennial.spark.plan_nodes import read_nodes
from perennial.spark.sql import refuse_reserved, run_query
from perennial.spark.tables import days_filter

DROP = "drop"
_one_at_a_time = Lock()
"""All tables share the view `drop`, until the query over it is planned."""


@dataclass(frozen=True, slots=True)
class Judged:
    """
    The rows of a table's days with the verdict on each day.

    :param accepted: by accepted day, the number of rows to quarantine
    :param broken: the rows of accepted days for quarantine: date, file, position, column, rule, value, row
    :param good: the other rows of accepted days, as the cleaning step sees them
    :param temporary: rows to release at the end
    """

    accepted: Mapping[str, int]
    refused: Mapping[str, Refusal]
    broken: DataFrame
    good: DataFrame
    temporary: Sequence[DataFrame]

    def release(self) -> None:
        """Give back the memory and disk that the rows take."""
        for rows in self.temporary:
            rows.unpersist()


def judge_small_days(rows: DataFrame, table: TableToClean) -> Judged:
    """Judge days of which one task can hold the rows, that `read_rows` has read."""
    accepted, refused = judge_days(rows, table)
    days = sorted(accepted)
    broken = rows.where(F.col("broken").isNotNull() & of_days(days)) if days else rows
    return Judged(accepted, refused, _flat(broken), good_rows(rows, table, days) if days else rows, [rows])


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
    return first_examples(_flat(rows.where((_day() == day) & F.col("broken").isNotNull())))


def first_examples(broken: DataFrame) -> tuple[Example, ...]:
    """Return the first of the rows of a day that break a rule."""
    shown = broken.select("file", "position", "column", "rule", "value")
    return tuple(Example(**row.asDict()) for row in shown.orderBy("file", "position").limit(EXAMPLES).collect())


def _flat(broken: DataFrame) -> DataFrame:
    return broken.select("date", "file", "position", "broken.*", "row")


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
        refuse_reserved(rows, self.file)
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


_ROW_BY_ROW = {"Project", "Filter", "SubqueryAlias", "View", "WithCTE", "CTERelationDef", "CTERelationRef"}


def is_projection(rows: DataFrame) -> bool:
    """Return whether a query makes each of its rows of one row of the view `drop`: making them again gives the same rows."""
    nodes = read_nodes(rows.sparkSession, rows._jdf.queryExecution().analyzed())
    operators = [node.kind for node in nodes if ".plans.logical." in node.name]
    return set(operators) <= _ROW_BY_ROW and operators.count("View") == 1


def of_days(days: Sequence[str]) -> Column:
    """Return the condition that a row belongs to one of the days (ISO), or to the reference."""
    return F.col("date").isNull() if list(days) == [REFERENCE] else days_filter("date", days)


def _day() -> Column:
    # date_format would go by way of a midnight, which some days do not have in some time zones.
    return F.coalesce(F.col("date").cast("string"), F.lit(REFERENCE))
