"""The digest of a partition, computed by Spark: equal content gives equal digests, whatever the order or the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.lake.spark_sql import quoted

_PREFIX = 2
"""Hex digits by which a partition's row hashes are grouped: 256 groups, so that no task holds more than its share of them."""
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


@dataclass(frozen=True, slots=True)
class Content:
    """What a partition holds: its digest, its rows, and how many different keys they have (at least: hashes may meet)."""

    digest: str
    rows: int
    keys: int


def partition_contents(rows: DataFrame, day_column: str | None, key: Sequence[str] = ()) -> dict[str, Content]:
    """
    Return the content of every partition by day (ISO date; 'reference' without a day column), in one pass.

    Each row is encoded canonically and hashed with SHA-256; the digest is taken over the sorted hashes, in two levels. Sorting
    makes it independent of the order, a doubled row shows, and no two sets of rows with one digest can be made up. (A sum
    modulo 2^256 would be weaker, and four times as dear: Spark turns hex into numbers slowly.)

    Everything is one text an expression: built column by column, it would take thousands of calls through the bridge to Java.

    :param key: columns whose values are counted; none: every row is one
    """
    fields = _fields(rows.schema)
    day = "'reference'" if day_column is None else f"date_format({quoted(day_column)}, 'yyyy-MM-dd')"
    counted = [field for field in fields if field.name in key]
    hashes = rows.selectExpr(
        f"{day} AS day", f"sha2({_encoding(fields)}, 256) AS hash", f"xxhash64({_encoding(counted) if counted else '0'}) AS key"
    )
    groups = hashes.groupBy("day", F.expr(f"substring(hash, 1, {_PREFIX}) AS prefix")).agg(
        F.expr("count(1) AS n"),
        F.expr("sha2(concat_ws('', sort_array(collect_list(hash))), 256) AS hash"),
        F.expr("collect_list(key) AS keys"),
    )
    days = groups.groupBy("day").agg(
        F.expr("sum(n) AS n"),
        F.expr("sha2(concat_ws('', transform(array_sort(collect_list(struct(prefix, hash))), g -> g.hash)), 256) AS hash"),
        F.expr("size(array_distinct(flatten(collect_list(keys)))) AS keys"),
    )
    return {row["day"]: Content(_digest(rows.schema, row["n"], row["hash"]), row["n"], row["keys"]) for row in days.collect()}


def empty_content(schema: T.StructType) -> Content:
    """Return the content of a partition without rows."""
    return Content(_digest(schema, 0, ""), 0, 0)


def _digest(schema: T.StructType, rows: int, hashes: str) -> str:
    """Bind the hashes to the number of rows and to the names and types of the columns."""
    columns = [[field.name, field.dataType.simpleString()] for field in _fields(schema)]
    return sha256(json.dumps([columns, rows, hashes], separators=(",", ":")).encode()).hexdigest()


def _fields(schema: T.StructType) -> list[T.StructField]:
    """Return the fields by name: a column that moved is no change."""
    return sorted(schema.fields, key=lambda field: field.name)


def _encoding(fields: Sequence[T.StructField]) -> str:
    """Return the SQL of the bytes that stand for some of a row's cells."""
    return f"encode(concat({', '.join(map(_cell, fields))}), 'UTF-8')"


def _cell(field: T.StructField) -> str:
    """Encode a cell as length:text, or '-' for null, so that no two different rows share an encoding."""
    column, kind = quoted(field.name), field.dataType
    if isinstance(kind, T.StringType):
        text = column
    elif isinstance(kind, T.DoubleType | T.FloatType):
        # %a writes the bits; Java's decimal notation of a double changed between versions. Adding 0.0 makes -0.0 0.0.
        text = f"format_string('%a', CAST({column} AS DOUBLE) + 0.0D)"
    elif isinstance(kind, T.DateType):
        text = f"CAST(unix_date({column}) AS STRING)"
    elif isinstance(kind, T.TimestampType):
        text = f"CAST(unix_micros({column}) AS STRING)"
    elif isinstance(kind, (*_INTEGERS, T.BooleanType, T.DecimalType)):
        text = f"CAST({column} AS STRING)"
    else:
        raise TypeError(f"column {field.name!r}: a value of type {kind.simpleString()} has no digest; select plain values")
    return f"CASE WHEN {column} IS NULL THEN '-' ELSE concat(CAST(length({text}) AS STRING), ':', {text}) END"
