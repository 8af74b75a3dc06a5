"""The digest of a partition, computed by Spark: equal content gives equal digests, in any order and any files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.spark.sql import quoted

_BUCKETS = 64
"""The number of groups into which a partition's rows are divided by their hash, so that each task sorts only a part of them."""
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


@dataclass(frozen=True, slots=True)
class Content:
    """
    The content of a partition: its digest, its number of rows, its number of distinct keys, and how many of its rows are marked.

    The number of keys is a lower bound, since hashes may collide.
    """

    digest: str
    rows: int
    keys: int
    marked: int


def partition_contents(
    rows: DataFrame, day_column: str | None, key: Sequence[str] = (), marked: str = "FALSE"
) -> dict[str, Content]:
    """
    Return the content of every partition by day (ISO date; 'reference' without a day column), in one pass.

    Each row becomes one text. The digest is the SHA-256 of the sorted rows, in two levels.
    Sorting makes it independent of the order, a duplicate row changes it, and two sets of rows with the same digest cannot be
    constructed. (A sum of row hashes modulo 2^256 would be weaker. A SHA-256 of each row costs more than everything else,
    since only Java's full compiler makes it fast.)

    Each expression is one text: building it column by column would take thousands of calls through the bridge to Java.

    :param key: columns whose distinct values are counted; if empty, every row counts as one
    :param marked: a condition in SQL; the rows that satisfy it are counted
    """
    fields = _fields(rows.schema)
    day = "'reference'" if day_column is None else quoted(day_column)
    counted = [field for field in fields if field.name in key]
    keys = [f"xxhash64({_encoding(counted)}) AS key"] if counted else []
    encoded = rows.selectExpr(f"{day} AS day", f"{_encoding(fields)} AS row", f"{marked} AS marked", *keys)
    buckets = encoded.groupBy("day", F.expr(f"pmod(xxhash64(row), {_BUCKETS}) AS bucket")).agg(
        F.expr("count(1) AS n"),
        F.expr("count_if(marked) AS marked"),
        F.expr("sha2(concat_ws('', sort_array(collect_list(row))), 256) AS hash"),
        *([F.expr("collect_list(key) AS keys")] if counted else []),
    )
    in_order = "array_sort(collect_list(struct(bucket, hash)))"
    days = buckets.groupBy("day").agg(
        F.expr("sum(n) AS n"),
        F.expr("sum(marked) AS marked"),
        F.expr(f"sha2(concat_ws('', transform({in_order}, one -> concat(one.bucket, ':', one.hash))), 256) AS hash"),
        F.expr(f"{'size(array_distinct(flatten(collect_list(keys))))' if counted else 'sum(n)'} AS keys"),
    )
    named = "day" if day_column is None else "CAST(day AS STRING) AS day"
    summary = days.selectExpr(named, "n", "marked", "hash", "keys").collect()
    return {
        row["day"]: Content(_digest(rows.schema, row["n"], row["hash"]), row["n"], row["keys"], row["marked"]) for row in summary
    }


def empty_content(schema: T.StructType) -> Content:
    """Return the content of a partition without rows."""
    return Content(_digest(schema, 0, ""), rows=0, keys=0, marked=0)


def _digest(schema: T.StructType, rows: int, hashes: str) -> str:
    """Combine the hashes with the number of rows and the names and types of the columns."""
    columns = [[field.name, field.dataType.simpleString()] for field in _fields(schema)]
    return sha256(json.dumps([columns, rows, hashes], separators=(",", ":")).encode()).hexdigest()


def _fields(schema: T.StructType) -> list[T.StructField]:
    """Return the fields sorted by name: the order of columns does not change the digest."""
    return sorted(schema.fields, key=lambda field: field.name)


def _encoding(fields: Sequence[T.StructField]) -> str:
    """Return the SQL that encodes some of a row's cells as one text."""
    return f"concat({', '.join(map(_cell, fields))})"


def _cell(field: T.StructField) -> str:
    """
    Return the SQL that encodes a cell with a visible end, so that no two different rows give the same text.

    Texts become `length:text`, or `-` for null. Other values become `value;`, or `;` for null.
    """
    column, kind = quoted(field.name), field.dataType
    if isinstance(kind, T.StringType):
        # Length in bytes: Spark's count of characters is not reliable for ill-formed UTF-8.
        text = column if kind.collation == "UTF8_BINARY" else f"{column} COLLATE UTF8_BINARY"
        return f"CASE WHEN {column} IS NULL THEN '-' ELSE concat(octet_length({column}), ':', {text}) END"
    if isinstance(kind, T.DoubleType | T.FloatType):
        # xxHash64 of one 64-bit number is a bijection (each of its steps can be undone). It avoids decimal notation,
        # which differs between versions of Java. All NaN hash alike. Adding 0.0 turns -0.0 into 0.0.
        # Null is encoded apart, since it would have the same hash as some number.
        return f"CASE WHEN {column} IS NULL THEN ';' ELSE concat(xxhash64(CAST({column} AS DOUBLE) + 0.0D), ';') END"
    if isinstance(kind, T.DateType):
        value = f"unix_date({column})"
    elif isinstance(kind, T.TimestampType):
        value = f"unix_micros({column})"
    elif isinstance(kind, (*_INTEGERS, T.BooleanType, T.DecimalType)):
        value = column
    else:
        raise TypeError(f"column {field.name!r}: a value of type {kind.simpleString()} has no digest")  # run_query refuses it
    return f"concat(coalesce(CAST({value} AS STRING), ''), ';')"
