"""The digest of a partition, computed by Spark: equal content gives equal digests, whatever the order or the files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

_PREFIX = 2
"""Hex digits by which a partition's row hashes are grouped: 256 groups, so that no task holds more than its share of them."""
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


@dataclass(frozen=True, slots=True)
class Content:
    """What a partition holds: its digest and its rows."""

    digest: str
    rows: int


def partition_contents(rows: DataFrame, day_column: str | None) -> dict[str, Content]:
    """
    Return the content of every partition by day (ISO date; 'reference' without a day column), in one pass.

    Each row is encoded canonically and hashed with SHA-256; the digest is taken over the sorted hashes, in two levels. Sorting
    makes it independent of the order, a doubled row shows, and no two sets of rows with one digest can be made up. (A sum
    modulo 2^256 would be weaker, and four times as dear: Spark turns hex into numbers slowly.)
    """
    day = F.lit("reference") if day_column is None else F.date_format(day_column, "yyyy-MM-dd")
    hashes = rows.select(day.alias("day"), F.sha2(_row_encoding(rows.schema), 256).alias("hash"))
    groups = hashes.groupBy("day", F.substring("hash", 1, _PREFIX).alias("prefix")).agg(
        F.count(F.lit(1)).alias("n"), _over_sorted(F.collect_list("hash")).alias("hash")
    )
    digests = F.transform(F.array_sort(F.collect_list(F.struct("prefix", "hash"))), lambda group: group["hash"])
    days = groups.groupBy("day").agg(F.sum("n").alias("n"), F.sha2(F.concat_ws("", digests), 256).alias("hash"))
    return {row["day"]: Content(_digest(rows.schema, row["n"], row["hash"]), row["n"]) for row in days.collect()}


def empty_content(schema: T.StructType) -> Content:
    """Return the content of a partition without rows."""
    return Content(_digest(schema, 0, ""), 0)


def _over_sorted(hashes: Column) -> Column:
    return F.sha2(F.concat_ws("", F.sort_array(hashes)), 256)


def _digest(schema: T.StructType, rows: int, hashes: str) -> str:
    """Bind the hashes to the number of rows and to the names and types of the columns."""
    columns = [[field.name, field.dataType.simpleString()] for field in _fields(schema)]
    return sha256(json.dumps([columns, rows, hashes], separators=(",", ":")).encode()).hexdigest()


def _fields(schema: T.StructType) -> list[T.StructField]:
    """Return the fields by name: a column that moved is no change."""
    return sorted(schema.fields, key=lambda field: field.name)


def _row_encoding(schema: T.StructType) -> Column:
    return F.encode(F.concat(*[_cell(field) for field in _fields(schema)]), "UTF-8")


def _cell(field: T.StructField) -> Column:
    """Encode a cell as length:text, or '-' for null, so that no two different rows share an encoding."""
    column, kind = F.col(f"`{field.name}`"), field.dataType
    if isinstance(kind, T.StringType):
        text = column
    elif isinstance(kind, T.DoubleType | T.FloatType):
        # %a writes the bits; Java's decimal notation of a double changed between versions. Adding 0.0 makes -0.0 0.0.
        text = F.format_string("%a", column.cast("double") + F.lit(0.0))
    elif isinstance(kind, T.DateType):
        text = F.unix_date(column).cast("string")
    elif isinstance(kind, T.TimestampType):
        text = F.unix_micros(column).cast("string")
    elif isinstance(kind, (*_INTEGERS, T.BooleanType, T.DecimalType)):
        text = column.cast("string")
    else:
        raise TypeError(f"column {field.name!r}: a value of type {kind.simpleString()} has no digest; select plain values")
    cell = F.concat(F.length(text).cast("string"), F.lit(":"), text)
    return F.when(column.isNull(), F.lit("-")).otherwise(cell)
