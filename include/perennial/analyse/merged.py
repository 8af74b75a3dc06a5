"""Numbers that become one as 32-bit floats: the model cannot tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from perennial.spark.sql import quoted

MAX_WHOLE = 2**24
"""
Up to here, a 32-bit float holds every whole number.

Below, values merge only if they differ by less than a part in 16 million, as two averages do by chance.
"""

Merged = dict[str, list[float]]
"""By field: two values of one day that become one."""


def any_rounded(numbers: Sequence[str]) -> str:
    """Return the condition, in SQL, of the rows that hold a large number which a 32-bit float rounds."""
    return " OR ".join(f"({_is_rounded(quoted(name))})" for name in numbers) or "FALSE"


def merged_numbers(rows: DataFrame, day_column: str, numbers: Sequence[str]) -> Mapping[str, Merged]:
    """Return by day (ISO) the fields of which different values become one, each with its two smallest such values."""
    if not numbers:
        return {}
    cells = ", ".join(f"struct({place} AS place, {quoted(name)} AS value)" for place, name in enumerate(numbers))
    values = rows.selectExpr(f"{quoted(day_column)} AS day", f"inline(array({cells}))").where(f"abs(value) >= {MAX_WHOLE}")
    groups = values.groupBy("day", "place", F.expr("CAST(value AS FLOAT)")).agg(
        F.expr("min(value) AS low"), F.expr("array_min(array_remove(collect_set(value), min(value))) AS high")
    )
    found = groups.where("high IS NOT NULL").groupBy("day", "place").agg(F.expr("min(struct(low, high)) AS pair")).collect()
    merged: dict[str, Merged] = {}
    for row in sorted(found, key=lambda row: (row["day"], row["place"])):
        merged.setdefault(row["day"].isoformat(), {})[numbers[row["place"]]] = list(row["pair"])
    return merged


def _is_rounded(column: str) -> str:
    return f"abs({column}) >= {MAX_WHOLE} AND CAST(CAST({column} AS FLOAT) AS DOUBLE) != {column}"
