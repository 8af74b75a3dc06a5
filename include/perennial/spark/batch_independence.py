"""
Check that a date's result does not depend on the other dates in its batch.

A job of many dates shows its queries the rows of all of them. A query whose reads no date bounds (no lower end, or past the date)
then gives another result than a run of one date would, under the same key: one of the dates is made alone as well, and compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from perennial.errors import RefusedError
from perennial.spark.sql import failing_on_rows, quoted
from perennial.spark.tables import days_filter

CLOSE = 1e-9
"""Relative. Sums of doubles depend on the order of the rows, which differs between the two: that is no other result."""


def middle(days: Iterable[str]) -> str:
    """Return one of several dates (ISO), with others before and after it: the one to compare."""
    dates = sorted(days)
    return dates[len(dates) // 2]


def compared(days: Iterable[str]) -> list[str]:
    """Return the dates (ISO) to compare: the one in the middle; both of two, since neither lies between others."""
    dates = sorted(days)
    return dates if len(dates) == 2 else [middle(dates)]


def check_batch_independence(file: str, day_column: str, day: str, among: DataFrame, alone: DataFrame, remedy: str) -> None:
    """Refuse the rows of a query when those of `day` differ, by more than rounding, from what the query yields for it alone."""
    names = [field.name for field in among.schema if field.name != day_column]
    with failing_on_rows(file):
        ours, others = (_summary(rows, day_column, day) for rows in (among, alone))
    differ = [name for name, a, b in zip(["rows", *names], ours, others, strict=True) if not _is_close(a, b)]
    if differ:
        count = f"{ours[0]} rows among the dates that are made with it, {others[0]} alone"
        raise RefusedError(
            f"{file}: {day} gives another result alone",
            [f"{count}; columns that differ: {', '.join(differ[1:] if differ[0] == 'rows' else differ) or 'none'}"],
            f"The query sees the rows of all dates that are made at once. {remedy}",
        )


def _summary(rows: DataFrame, day_column: str, day: str) -> list[float]:
    """Return the number of rows, and of each column the sum of its values' sizes: one fact a column, since each is compiled code."""
    asked = [f"sum({_size(field)})" for field in rows.schema if field.name != day_column]
    found: Any = rows.where(days_filter(day_column, [day])).selectExpr("count(1)", *asked).first()
    return [0 if value is None else value for value in found]


def _size(field: T.StructField) -> str:
    """Return a number for a cell that is never negative, so that no two cancel: of no value one that hardly another has."""
    column = quoted(field.name)
    number = (
        f"CAST({column} AS DOUBLE)"
        if isinstance(field.dataType, T.NumericType)
        else f"CAST(xxhash64({column}) % 1000003 AS DOUBLE)"
    )
    return f"coalesce(abs({number}), 0.7310585786D)"


def _is_close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=CLOSE)
