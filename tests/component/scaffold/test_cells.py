"""The cells that `perennial new` reads in Python: Spark reads each of them, and gives the same value."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from spark_job import run_jobs

from perennial.scaffold.cells import read_cell

JOB = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from perennial.clean.cells import typed

spark = SparkSession.builder.config("spark.log.level", "OFF").config("spark.sql.session.timeZone", "UTC").getOrCreate()
cells = json.loads(sys.argv[1])
columns = "number int, kind string, text string, decimal string"
rows = spark.createDataFrame([(number, *cell) for number, cell in enumerate(cells)], columns)
found = {}
for kind, decimal in {(kind, decimal) for kind, _, decimal in cells}:
    chosen = rows.where((F.col("kind") == kind) & (F.col("decimal") == decimal))
    value = typed(kind, F.col("text"), decimal)
    shown = F.unix_micros(value) if kind == "timestamp" else F.unix_date(value) if kind == "date" else value
    found |= {row.number: row.value for row in chosen.select("number", shown.alias("value")).collect()}
print("SAID " + json.dumps([found[number] for number in range(len(cells))]))
"""

WORDS = """
0 7 -7 +7 007 9223372036854775807 9223372036854775808 1.5 1,5 .5 5. 1e5 1E-5 1e400 1_000 0x1 NaN inf -0
true TRUE True tRuE false 1 yes on
2026-01-31 2026-02-29 2024-02-29 0000-01-01 0001-01-01 9999-12-31 10000-01-01 2026-1-1 26-01-01
00:00 23:59 24:00 8:30 08:60 08:30:00
2026-01-31T10:00 2026-01-31T10:00:00 2026-01-31T10:00:00.5 2026-01-31T10:00:00.123456789
2026-01-31T10:00Z 2026-01-31T10:00:00Z 2026-01-31T10:00:00+01:00 2026-01-31T10:00:00+0100 2026-01-31T10:00+01
2026-01-31T24:00Z 2026-01-31T10:60Z 2026-02-30T10:00Z 2026-01-31T10:00:61Z 2026-01-31T10:00z 2026-01-31t10:00Z
0001-01-01T00:00:00+14:00 9999-12-31T23:59:59-14:00 2026-01-31T10:00:00+19:00 2026-01-31T10:00:00+01:60
2026-01-31T10:00:00+18:00 2026-01-31T10:00:00-18:01 2026-01-31T10:00:00+17:59 2026-01-31T10:00+1
"""
TEXTS = [*WORDS.split(), "", " ", " 1", "1 ", "2026-01-31 10:00", "2026-01-31 10:00:00.5Z"]
KINDS = ("integer", "double", "boolean", "date", "time", "timestamp")
CELLS = [(kind, text, decimal) for kind in KINDS for text in TEXTS for decimal in ((".", ",") if kind == "double" else (".",))]


@pytest.fixture(scope="module")
def spark_values(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return the value of each cell as Spark reads it."""
    return list(run_jobs(tmp_path_factory.mktemp("cells"), JOB, {}, [json.dumps(CELLS)])[0])


def plain(value: Any) -> Any:
    """Return a value as the job shows it."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def test_spark_reads_each_cell_that_python_reads_as_the_same_value(spark_values: list[Any]) -> None:
    read = [
        (cell, plain(value), spark)
        for cell, spark in zip(CELLS, spark_values, strict=True)
        if (value := read_cell(*cell)) is not None
    ]
    assert len(read) > 50
    assert [(cell, ours, spark) for cell, ours, spark in read if ours != spark or type(ours) is not type(spark)] == []


def test_python_reads_each_cell_that_spark_reads(spark_values: list[Any]) -> None:
    assert [cell for cell, spark in zip(CELLS, spark_values, strict=True) if spark is not None and read_cell(*cell) is None] == []
