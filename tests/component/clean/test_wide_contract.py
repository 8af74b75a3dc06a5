"""A contract of many columns: Java compiles every method that Spark writes for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from spark_job import said, submit

from perennial.config.dialect import Csv
from perennial.config.tables import ColumnContract
from perennial.spark.conf import iceberg_conf
from perennial.spark.size import ROWS_A_TASK, size_conf
from stack.spark_archive import hadoop_catalog

JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.clean.job import clean
from perennial.clean.job_file import CleanJob

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
log4j = spark._jvm.org.apache.logging.log4j
log4j.core.config.Configurator.setLevel("org.apache.spark.sql.execution.WholeStageCodegenExec", log4j.Level.INFO)
for rows, job in zip(("10", sys.argv[2]), json.loads(sys.argv[1])):
    print(f"JOB {job['database']}", file=sys.stderr, flush=True)
    spark.conf.set("spark.perennial.job.rows", rows)
    clean(spark, CleanJob.from_json(job))
    print("SAID " + json.dumps(spark.table(f"ice.{job['database']}.clean_wide").count()))
"""
MAX_COMPILED_BYTES = 8000
"""Java's HugeMethodLimit."""
DAY, COLUMNS, ROWS = "2026-03-01", 60, 50
KINDS = (
    ({"type": "integer", "required": True, "range": [0, 1000]}, "7"),
    ({"type": "double", "null_text": "NA", "range": [-10, 10]}, "1.5"),
    ({"type": "string", "max_length": 20, "enum": ["a", "b"]}, "b"),
    ({"type": "time"}, "05:30"),
    ({"type": "timestamp"}, "2026-03-01T05:00:00Z"),
    ({"type": "date", "format": "dd.MM.yyyy"}, "01.03.2026"),
    ({"type": "boolean"}, "true"),
)


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    """Return the job of one date with 60 columns, of which the first is the key."""
    names = [f"c{number}" for number in range(COLUMNS)]
    rows = [[str(row), *(KINDS[number % len(KINDS)][1] for number in range(1, COLUMNS))] for row in range(ROWS)]
    rows[3][1] = "eleven"
    file = tmp_path / "wide.csv"
    file.write_text("\n".join(map(",".join, [names, *rows, rows[0]])) + "\n")
    facts = {"uri": str(file), "name": "a.csv", "rows": ROWS + 1, "line_end": "\n", "unclear": [], "by_lines": True}
    contracts = [ColumnContract.model_validate(KINDS[number % len(KINDS)][0]).rules for number in range(COLUMNS)]
    table = {
        "name": "wide", "table": "clean_wide", "key": ["c0"], "header": {name: name for name in names},
        "columns": [list(pair) for pair in zip(names, contracts, strict=True)], "dialect": Csv().model_dump(),
        "max_quarantine_share": 0.5, "sql": None, "held": [], "withdraw": [], "same": {}, "big": [],
        "days": {DAY: {"key": "key", "refusal": str(tmp_path / "refusal"), "header": names, "files": [facts]}},
    }  # fmt: skip
    return {"database": "small", "time_zone": "UTC", "tables": [table]}


def test_no_code_of_sixty_columns_fails_to_compile(job: dict[str, Any], tmp_path: Path) -> None:
    big = job | {"database": "big", "tables": [job["tables"][0] | {"big": [DAY]}]}
    name = "spark.sql.codegen.hugeMethodLimit"
    # Without these two, Spark logs the failure and goes on, many times slower.
    strict = {"spark.sql.codegen.fallback": "false", "spark.sql.codegen.factoryMode": "CODEGEN_ONLY"}
    many = 2 * ROWS_A_TASK
    settings = {name: iceberg_conf("thrift://127.0.0.1:1", "s3://lake", None)[name], **strict, **size_conf(many)}
    conf = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]

    done = submit(tmp_path, JOB, [*hadoop_catalog(tmp_path), *conf], [json.dumps([job, big]), str(many)])

    assert said(done) == [ROWS - 1, ROWS - 1]
    # Spark has written larger methods than Java compiles, and has put them aside for smaller ones. In a job of many rows, Java
    # compiles them.
    of_small, _, of_big = done.stderr.partition("JOB big")
    put_aside = r"the bytecode size \((\d+)\) is above the limit (\d+)"
    assert {int(limit) for _, limit in re.findall(put_aside, of_small)} == {MAX_COMPILED_BYTES}
    assert re.findall(put_aside, of_big) == []
