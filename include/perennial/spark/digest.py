"""The digest of a partition, computed by Spark: equal content gives equal digests, whatever the order or the files."""

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
"""Into so many a partition's rows are divided, by a hash of theirs, so that no task sorts more than its share of them at once."""
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

    Each row becomes one text; the digest is SHA-256 over the sorted rows, in two levels. Sorting makes it independent of the order, a
    doubled row shows, and no two sets of rows with one digest can be made up. (A sum of the rows' own hashes modulo 2^256 would be
    weaker; a SHA-256 of each row costs more than all the rest, since only Java's full compiler makes that fast.)

    Everything is one text an expression: built column by column, it would take thousands of calls through the bridge to Java.

    :param key: columns whose values are counted; none: every row is one
    """
    fields = _fields(rows.schema)
    day = "'reference'" if day_column is None else quoted(day_column)
    counted = [field for field in fields if field.name in key]
    keys = [f"xxhash64({_encoding(counted)}) AS key"] if counted else []
    encoded = rows.selectExpr(f"{day} AS day", f"{_encoding(fields)} AS row", *keys)
    buckets = encoded.groupBy("day", F.expr(f"pmod(xxhash64(row), {_BUCKETS}) AS bucket")).agg(
        F.expr("count(1) AS n"),
        F.expr("sha2(concat_ws('', sort_array(collect_list(row))), 256) AS hash"),
        *([F.expr("collect_list(key) AS keys")] if counted else []),
    )
    in_order = "array_sort(collect_list(struct(bucket, hash)))"
    days = buckets.groupBy("day").agg(
        F.expr("sum(n) AS n"),
        F.expr(f"sha2(concat_ws('', transform({in_order}, one -> concat(one.bucket, ':', one.hash))), 256) AS hash"),
        F.expr(f"{'size(array_distinct(flatten(collect_list(keys))))' if counted else 'sum(n)'} AS keys"),
    )
    named = "day" if day_column is None else "date_format(day, 'yyyy-MM-dd') AS day"  # of few rows: it is slow
    found = days.selectExpr(named, "n", "hash", "keys").collect()
    return {row["day"]: Content(_digest(rows.schema, row["n"], row["hash"]), row["n"], row["keys"]) for row in found}


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
    """Return the SQL of the text that stands for some of a row's cells."""
    return f"concat({', '.join(map(_cell, fields))})"


def _cell(field: T.StructField) -> str:
    """Encode a cell so that its end shows, and no two different rows share a text: `length:text` or `-` for texts, else `value;` or `;`."""
    column, kind = quoted(field.name), field.dataType
    if isinstance(kind, T.StringType):
        # Bytes: what Spark counts as characters of ill-formed UTF-8 is not what stands there.
        text = column if kind.collation == "UTF8_BINARY" else f"{column} COLLATE UTF8_BINARY"
        return f"CASE WHEN {column} IS NULL THEN '-' ELSE concat(octet_length({column}), ':', {text}) END"
    if isinstance(kind, T.DoubleType | T.FloatType):
        # xxHash64 of one number of 64 bits is a bijection (each step of it can be undone), and has no decimal notation, which differs
        # between versions of Java. All NaN are one to it. Adding 0.0 makes -0.0 0.0. Null would hash like some number.
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
