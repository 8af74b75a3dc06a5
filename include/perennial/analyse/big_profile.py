"""The parts of a profile that one task would compute for each column, divided among tasks: for dates of many rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from perennial.spark.sql import rows_from

Column = tuple[date, int]
"""A date and the place of a column."""


def most_frequent(counted: DataFrame, count: int) -> DataFrame:
    """Return the most frequent texts of each date and place, with their rank. Each task sends only its own most frequent ones."""
    rank = "row_number() OVER (PARTITION BY date, place ORDER BY n DESC, text) AS rank"
    return counted.where("text IS NOT NULL").selectExpr("date", "place", "text", "n", rank).where(f"rank <= {count}")


def quantiles(counted: DataFrame, shares: Sequence[float]) -> DataFrame:
    """
    Return the quantiles of each date and place, exactly as Spark's `percentile` gives them, which holds all values in one task.

    The values are sorted once. Their counts tell which part of them holds a quantile, and only these parts are looked at.
    """
    spark = counted.sparkSession
    ranged = (
        counted.where("number IS NOT NULL").select("date", "place", "number", "n").repartitionByRange("date", "place", "number")
    )
    parts = ranged.withColumn("part", F.spark_partition_id()).persist()
    sizes: dict[Column, dict[int, int]] = defaultdict(dict)
    for row in parts.groupBy("date", "place", "part").agg(F.sum("n").alias("n")).collect():
        sizes[row["date"], row["place"]][row["part"]] = row["n"]
    ranks = [
        {"part": part, "date": str(day), "place": place, "rank": rank}
        for (day, place), counts in sorted(sizes.items())
        for part, rank in sorted(_find_parts(counts, shares))
    ]
    found = _values_at(parts, rows_from(spark, ranks, "part: int, date: date, place: int, rank: bigint"))
    values: dict[Column, dict[tuple[int, int], float]] = defaultdict(dict)
    for row in found:
        values[row["date"], row["place"]][row["part"], row["rank"]] = row["number"]
    parts.unpersist()
    each = [
        {"date": str(day), "place": place, "quantiles": _interpolate(counts, values[day, place], shares)}
        for (day, place), counts in sorted(sizes.items())
    ]
    return rows_from(spark, each, "date: date, place: int, quantiles: array<double>")


def _values_at(parts: DataFrame, ranks: DataFrame) -> list[Row]:
    """Return the value at each rank of a part."""
    slices = parts.join(F.broadcast(ranks.select("part", "date", "place").distinct()), ["part", "date", "place"])
    upto = "sum(n) OVER (PARTITION BY part, date, place ORDER BY number ROWS UNBOUNDED PRECEDING) AS upto"
    counted = slices.selectExpr("*", upto)
    inside = "rank > upto - n AND rank <= upto"
    return (
        counted.join(F.broadcast(ranks), ["part", "date", "place"])
        .where(inside)
        .select("part", "date", "place", "rank", "number")
        .collect()
    )


def _positions(counts: Mapping[int, int], shares: Iterable[float]) -> list[float]:
    """Return the positions of quantiles among all values in order, from 0."""
    last = sum(counts.values()) - 1
    return [last * share for share in shares]


def _find_parts(counts: Mapping[int, int], shares: Iterable[float]) -> set[tuple[int, int]]:
    """Return the values that decide the quantiles, each as its part and its rank in it, from 1."""
    wanted = {rank for position in _positions(counts, shares) for rank in (math.floor(position), math.ceil(position))}
    return {_locate(counts, rank) for rank in wanted}


def _locate(counts: Mapping[int, int], position: int) -> tuple[int, int]:
    for part, count in sorted(counts.items()):
        if position < count:
            return part, position + 1
        position -= count
    raise ValueError(f"no value at position {position} of {counts}")


def _interpolate(counts: Mapping[int, int], values: Mapping[tuple[int, int], float], shares: Iterable[float]) -> list[float]:
    """Return the quantiles, with the arithmetic of Spark's `percentile`."""
    made = []
    for position in _positions(counts, shares):
        lower, higher = math.floor(position), math.ceil(position)
        low, high = values[_locate(counts, lower)], values[_locate(counts, higher)]
        made.append(low if low == high or lower == higher else (higher - position) * low + (position - lower) * high)
    return made
