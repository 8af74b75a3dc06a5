"""A query that would go on for hours or fill the disk is stopped, with its file named; the session goes on."""

from __future__ import annotations

from typing import Any

import pytest
from spark_job import run_job

from perennial.spark.conf import budget_conf

MINUTES, DISK_GB = 0.1, 0.02
PROGRAM = """
import json, time
from pyspark.sql import SparkSession
from perennial.errors import RefusedError
from perennial.spark.budget import within_budget
from perennial.spark.sql import failing_on_rows, run_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sql("SELECT 1L AS a").createOrReplaceTempView("v")
queries = {
    "endless.sql": "SELECT count(*) AS n FROM range(1000000000000) r JOIN v ON r.id % 7 = v.a",
    "wide.sql": "SELECT id, sha2(string(id), 512) AS s FROM range(100000000) DISTRIBUTE BY id",
    "small.sql": "SELECT a + 1 AS n FROM v",
}
said = {}
for file, query in queries.items():
    began = time.monotonic()
    try:
        with within_budget(spark, file), failing_on_rows(file, query):
            rows = run_query(spark, file, query, ("v",))
            said[file] = [rows.agg({rows.columns[-1]: "max"}).collect()[0][0]]
    except RefusedError as error:
        said[file] = [str(error)]
    said[file].append(time.monotonic() - began)
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    conf = [word for name, value in budget_conf(MINUTES, DISK_GB).items() for word in ("--conf", f"{name}={value}")]
    return dict(run_job(tmp_path_factory.mktemp("spark"), PROGRAM, conf))


def test_a_query_that_takes_too_long_is_stopped(said: dict[str, Any]) -> None:
    text, seconds = said["endless.sql"]
    assert text.startswith("endless.sql: stopped after 0.1 minutes, the most that a query may take. ")
    assert "PERENNIAL_QUERY_MINUTES" in text
    assert seconds < 30


def test_a_query_that_fills_the_disk_is_stopped(said: dict[str, Any]) -> None:
    text, seconds = said["wide.sql"]
    assert text.startswith("wide.sql: stopped with 0.")
    assert "GB on the local disk, of 0.02 GB allowed" in text
    assert seconds < 30


def test_a_query_within_its_budget_runs_afterwards(said: dict[str, Any]) -> None:
    assert said["small.sql"][0] == 2
