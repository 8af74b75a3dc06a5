"""The digest of a partition, computed by Spark: equal content gives equal digests, in any order and any files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.spark.sql import date_literal, quoted

MIN_BUCKETS, ROWS_A_BUCKET = 64, 16_384
"""
The number of groups into which a partition's rows are divided by their hash, so that each task sorts only a part of them.

It follows from the number of rows, which the digest contains: 64 up to a million rows, a larger power of two above.
"""
_HASHED_NUMBER = "xxhash64(CAST({} AS DOUBLE) + 0.0D)"
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
    rows: DataFrame, day_column: str | None, key: Sequence[str] = (), marked: str = "FALSE", *, is_big: bool = False
) -> dict[str, Content]:
    """
    Return the content of every partition by day (ISO date; 'reference' without a day column).

    It takes one pass. With `is_big`, a pass before it counts the rows, and one after it the keys; otherwise the pass holds the
    keys of a day in memory, and partitions of unexpectedly many rows cause a second pass.

    Each row becomes one text. The digest is the SHA-256 of the sorted rows, in two levels.
    Sorting makes it independent of the order, a duplicate row changes it, and two sets of rows with the same digest cannot be
    constructed. (A sum of row hashes modulo 2^256 would be weaker, and no faster.)

    Each expression is one text: building it column by column would take thousands of calls through the bridge to Java.

    :param key: columns whose distinct values are counted; if empty, every row counts as one
    :param marked: a condition in SQL; the rows that satisfy it are counted
    :param is_big: whether a partition may have more rows than one task should hold
    """
    day = "'reference'" if day_column is None else quoted(day_column)
    sizes = {}
    if is_big:
        days = rows.selectExpr(f"{day} AS day").groupBy("day").agg(F.expr("count(1) AS n"))
        sizes = {row["day"]: row["n"] for row in days.selectExpr("CAST(day AS STRING) AS day", "n").collect()}
    contents = _compute(rows, day_column, key, marked, sizes, is_big=is_big)
    counted = {name: content.rows for name, content in contents.items()}
    if any(count_buckets(n) != count_buckets(sizes.get(name, 0)) for name, n in counted.items()):
        contents = _compute(rows, day_column, key, marked, counted, is_big=True)
    return contents


def count_buckets(rows: int) -> int:
    """Return the number of groups for a partition with this number of rows."""
    return max(MIN_BUCKETS, 1 << (-(-rows // ROWS_A_BUCKET) - 1).bit_length())


def _compute(
    rows: DataFrame, day_column: str | None, key: Sequence[str], marked: str, sizes: Mapping[str, int], *, is_big: bool
) -> dict[str, Content]:
    """
    Return the content of every partition.

    :param sizes: rows by day; a day that is not named has a million at most
    :param is_big: count the keys in a pass of its own
    """
    fields = _fields(rows.schema)
    day = "'reference'" if day_column is None else quoted(day_column)
    counted = [field for field in fields if field.name in key]
    hashed_key = f"xxhash64({_encoding(counted)}) AS key"
    keys = [hashed_key] if counted and not is_big else []
    encoded = rows.selectExpr(f"{day} AS day", f"{_encoding(fields)} AS row", f"{marked} AS marked", *keys)
    buckets = encoded.groupBy("day", F.expr(f"pmod(xxhash64(row), {_bucket_count(day_column, sizes)}) AS bucket")).agg(
        F.expr("count(1) AS n"),
        F.expr("count_if(marked) AS marked"),
        F.expr("sha2(concat_ws('', sort_array(collect_list(row))), 256) AS hash"),
        *([F.expr("collect_list(key) AS keys")] if keys else []),
    )
    in_order = "array_sort(collect_list(struct(bucket, hash)))"
    days = buckets.groupBy("day").agg(
        F.expr("sum(n) AS n"),
        F.expr("sum(marked) AS marked"),
        F.expr(f"sha2(concat_ws('', transform({in_order}, one -> concat(one.bucket, ':', one.hash))), 256) AS hash"),
        F.expr(f"{'size(array_distinct(flatten(collect_list(keys))))' if keys else 'sum(n)'} AS keys"),
    )
    named = "day" if day_column is None else "CAST(day AS STRING) AS day"
    summary = days.selectExpr(named, "n", "marked", "hash", "keys").collect()
    found = {row["day"]: row["keys"] for row in summary}
    if counted and is_big:
        of_day = rows.selectExpr(f"{day} AS day", hashed_key).distinct().groupBy("day").agg(F.expr("count(1) AS keys"))
        found = {row["day"]: row["keys"] for row in of_day.selectExpr(named, "keys").collect()}
    return {
        row["day"]: Content(_digest(rows.schema, row["n"], row["hash"]), row["n"], found[row["day"]], row["marked"])
        for row in summary
    }


def _bucket_count(day_column: str | None, sizes: Mapping[str, int]) -> str:
    """Return the SQL of the number of groups for a row's day."""
    counts = {day: count for day, rows in sizes.items() if day and (count := count_buckets(rows)) != MIN_BUCKETS}
    if not counts:
        return str(MIN_BUCKETS)
    if day_column is None:
        (count,) = counts.values()
        return str(count)
    cases = " ".join(f"WHEN {date_literal(date.fromisoformat(day))} THEN {count}" for day, count in sorted(counts.items()))
    return f"CASE day {cases} ELSE {MIN_BUCKETS} END"


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
        return f"CASE WHEN {column} IS NULL THEN ';' ELSE concat({_HASHED_NUMBER.format(column)}, ';') END"
    if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.FloatType):
        hashes = f"transform({column}, one -> CAST({_HASHED_NUMBER.format('one')} AS STRING))"
        return f"CASE WHEN {column} IS NULL THEN ';' ELSE concat(array_join({hashes}, ',', '-'), ';') END"
    if isinstance(kind, T.DateType):
        value = f"unix_date({column})"
    elif isinstance(kind, T.TimestampType):
        value = f"unix_micros({column})"
    elif isinstance(kind, (*_INTEGERS, T.BooleanType, T.DecimalType)):
        value = column
    else:
        raise TypeError(f"column {field.name!r}: a value of type {kind.simpleString()} has no digest")  # run_query refuses it
    return f"concat(coalesce(CAST({value} AS STRING), ''), ';')"
