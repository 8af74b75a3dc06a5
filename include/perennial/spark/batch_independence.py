"""
Check that a date's result does not depend on the other dates in its batch.

A job of many dates shows the rows of all of them to its queries. A query that does not bound its reads by date
(no lower bound, or past the date) then gives another result than a run of one date would, under the same fingerprint.
Therefore one of the dates is also computed alone, and the two results are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from perennial.errors import RefusedError
from perennial.spark.budget import within_budget
from perennial.spark.sql import failing_on_rows, quoted
from perennial.spark.tables import days_filter

CLOSE = 1e-9
"""Relative tolerance: sums of doubles depend on the order of the rows, which may differ between the two results."""


def middle(days: Iterable[str]) -> str:
    """Return the date (ISO) to compare: one with other dates before and after it."""
    dates = sorted(days)
    return dates[len(dates) // 2]


def compared(days: Iterable[str]) -> list[str]:
    """Return the dates (ISO) to compare: the middle one, or both of two dates, since neither lies between others."""
    dates = sorted(days)
    return dates if len(dates) == 2 else [middle(dates)]


def check_batch_independence(
    file: str, sql: str, day_column: str, day: str, among: DataFrame, alone: DataFrame, remedy: str
) -> None:
    """
    Refuse a query if its rows for `day` in the batch differ, by more than rounding, from its rows for that day alone.

    :param sql: the text of the query, for errors
    """
    with within_budget(among.sparkSession, file), failing_on_rows(file, sql):
        difference = find_difference(day_column, day, among, alone)
    if difference is not None:
        raise RefusedError(
            f"{file}: the result for {day} depends on the other dates in its batch",
            [difference],
            f"The query sees the rows of all dates in the batch. {remedy}",
        )


def find_difference(day_column: str, day: str, among: DataFrame, alone: DataFrame) -> str | None:
    """Return how the rows of `day` in a batch differ, by more than rounding, from those of that day alone, or None."""
    names = [field.name for field in among.schema if field.name != day_column]
    batch_sums, alone_sums = (_summarize(rows, day_column, day) for rows in (among, alone))
    differ = [name for name, a, b in zip(["rows", *names], batch_sums, alone_sums, strict=True) if not _is_close(a, b)]
    if not differ:
        return None
    count = f"{batch_sums[0]} rows in the batch, {alone_sums[0]} alone"
    return f"{count}; columns that differ: {', '.join(differ[1:] if differ[0] == 'rows' else differ) or 'none'}"


def _summarize(rows: DataFrame, day_column: str, day: str) -> list[float]:
    """Return the number of rows, and for each column one sum: Spark compiles each expression, so there are few."""
    sums = [f"sum({_cell_number(field)})" for field in rows.schema if field.name != day_column]
    summary: Any = rows.where(days_filter(day_column, [day])).selectExpr("count(1)", *sums).first()
    return [0 if value is None else value for value in summary]


def _cell_number(field: T.StructField) -> str:
    """Map a cell to a non-negative number so that differences cannot cancel; null maps to a constant that values rarely have."""
    column = quoted(field.name)
    number = (
        f"CAST({column} AS DOUBLE)"
        if isinstance(field.dataType, T.NumericType)
        else f"CAST(xxhash64({column}) % 1000003 AS DOUBLE)"
    )
    return f"coalesce(abs({number}), 0.7310585786D)"


def _is_close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=CLOSE)
