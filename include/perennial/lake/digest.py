"""The digest of a partition, computed by Spark: equal content gives equal digests, whatever the order or the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

_LIMBS = 8
_LIMB_HEX = 8
_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


@dataclass(frozen=True, slots=True)
class Content:
    """What a partition holds: its digest, its rows, and how many distinct keys these have (None: not asked)."""

    digest: str
    rows: int
    keys: int | None = None


def partition_contents(rows: DataFrame, day_column: str | None, key: Sequence[str] = ()) -> dict[str, Content]:
    """
    Return the content of every partition by day (ISO date; 'reference' without a day column), in one pass.

    Each row is encoded canonically and hashed with SHA-256; the hashes are added modulo 2^256, so order cannot matter and a
    doubled row shows. Spark has no 256-bit integers: eight sums of 32 bits each do it, exact for up to 2^31 rows.
    """
    row_hash = F.sha2(_row_encoding(rows.schema), 256)
    limbs = [F.conv(F.substring("h", 1 + _LIMB_HEX * i, _LIMB_HEX), 16, 10).cast("bigint") for i in range(_LIMBS)]
    day = F.lit("reference") if day_column is None else F.date_format(day_column, "yyyy-MM-dd")
    keys = F.struct(*[F.col(name) for name in key]) if key else F.lit(None).cast("int")
    sums = [F.sum(limb).alias(f"limb{i}") for i, limb in enumerate(limbs)]
    counted = [F.count(F.lit(1)).alias("n"), *([F.count_distinct("k").alias("keys")] if key else []), *sums]
    found = rows.select(day.alias("d"), row_hash.alias("h"), keys.alias("k")).groupBy("d").agg(*counted).collect()
    columns = [[field.name, field.dataType.simpleString()] for field in _fields(rows.schema)]
    return {
        str(row["d"]): Content(
            digest=_digest(columns, row["n"], [row[f"limb{i}"] for i in range(_LIMBS)]),
            rows=int(row["n"]),
            keys=int(row["keys"]) if key else None,
        )
        for row in found
    }


def empty_content(schema: T.StructType) -> Content:
    """Return the content of a partition without rows."""
    columns = [[field.name, field.dataType.simpleString()] for field in _fields(schema)]
    return Content(_digest(columns, 0, [0] * _LIMBS), 0)


def _digest(columns: list[list[str]], rows: int, limbs: Sequence[int]) -> str:
    """Bind the sum to the number of rows and to the names and types of the columns."""
    total = reduce(lambda high, limb: (high << 32) + int(limb), limbs, 0) % 2**256
    return sha256(json.dumps([columns, rows, f"{total:064x}"], separators=(",", ":")).encode()).hexdigest()


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
