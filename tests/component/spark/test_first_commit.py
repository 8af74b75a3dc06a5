"""Two jobs that commit to a table for the first time at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from spark_job import run_jobs

from stack.spark_archive import hadoop_catalog

pytestmark = pytest.mark.spark
PROGRAM = """
import json, threading, time
from datetime import date
from pyspark.sql import SparkSession, functions as F
from perennial.lake.tables import Partition
from perennial.spark.tables import commit, days_filter

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sql("CREATE NAMESPACE ice.lab")
slowly = F.udf(lambda value: time.sleep(8) or value, "long")


def commit_day(day, slow=False):
    rows = spark.range(3).select(F.lit(date.fromisoformat(day)).alias("date"), slowly("id") if slow else F.col("id"))
    rows = rows.toDF("date", "id")
    days = {day: Partition("key", "digest", 3)}
    commit(rows, "ice.lab.t", replaces=days_filter("date", [day]), partitioned_by=("date",), partitions=days)


failed = []


def late():
    try:
        commit_day("2026-03-02", slow=True)
    except Exception as error:
        failed.append(repr(error))


thread = threading.Thread(target=late)
thread.start()
time.sleep(4)  # it has seen that there is no table, and its rows take longer
commit_day("2026-03-01")
thread.join()
rows = spark.sql("SELECT CAST(date AS STRING), COUNT(*) FROM ice.lab.t GROUP BY 1 ORDER BY 1").collect()
print("SAID " + json.dumps({"failed": failed, "rows": [list(row) for row in rows]}))
"""


def test_the_job_that_is_late_commits_to_the_table_of_the_other(tmp_path: Path) -> None:
    (said,) = run_jobs(tmp_path, PROGRAM, hadoop_catalog(tmp_path))
    assert said == {"failed": [], "rows": [["2026-03-01", 3], ["2026-03-02", 3]]}
