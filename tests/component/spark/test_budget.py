"""A query that would go on for hours or fill the disk ends its job, with its file named."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from spark_job import SUBMIT

from perennial.errors import RefusedError
from perennial.spark.failures import describe_end
from perennial.spark.limits import Limits
from stack.spark_archive import hadoop_catalog

pytestmark = pytest.mark.spark

WORK = "Pipeline 'orders', 2026-03-01 to 2026-03-02"
LIMITS = Limits(WORK, dates=2, minutes=60, rows=1_000_000_000, gb=100, disk_gb=100)
PROGRAM = """
import json, sys, threading
from pyspark.sql import SparkSession
from perennial.spark import budget
from perennial.spark.sql import failing_on_rows, run_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sql("SELECT 1L AS a").createOrReplaceTempView("v")
budget.LOOK_SECONDS = 1.0

def run(file, query):
    with budget.within_budget(spark, file), failing_on_rows(file, query):
        rows = run_query(spark, file, query, ("v",)).persist()
        print("SAID " + json.dumps([file, rows.agg({rows.columns[-1]: "max"}).collect()[0][0]]), flush=True)

run("small.sql", "SELECT a + 1 AS n FROM v")
threads = [threading.Thread(target=run, args=query) for query in json.loads(sys.argv[1])]
for thread in threads:
    thread.start()
"""
STORE = """
from pyspark.sql import SparkSession
from perennial.analyse.job_file import Query
from perennial.analyse.partitions import store_days
from perennial.spark import budget
from perennial.spark.sql import run_query
from perennial.spark.tables import open_database

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
spark.sql("SELECT DATE '2026-03-01' AS date").createOrReplaceTempView("v")
budget.LOOK_SECONDS = 1.0
sql = "SELECT date, levenshtein(repeat('ab', 100000), repeat('ba', 100000)) AS n FROM v"
rows = run_query(spark, "stored.sql", sql, ("v",))
print('SAID ["small.sql", 2]', flush=True)
store_days(rows, Query(table="t", file="stored.sql", days={"2026-03-01": "k"}, held={}, sql=sql), "lab", day_column="date")
print("SAID stored", flush=True)
"""
HASHES = "SELECT id, sha2(string(id), 512) AS s FROM range(100000000) DISTRIBUTE BY id"


def run_beyond(folder: Path, limits: Limits, program: str = PROGRAM, **queries: str) -> list[str]:
    """Run queries at once, of which one exceeds its limits; return the first lines of its refusal."""
    (folder / "job.py").write_text(program)
    conf = ["spark.executor.heartbeatInterval=1s", *(f"{name}={value}" for name, value in limits.to_conf().items())]
    files = json.dumps([[f"{name}.sql", query] for name, query in queries.items()])
    done = subprocess.run(
        [SUBMIT, *hadoop_catalog(folder), *(word for setting in conf for word in ("--conf", setting)), folder / "job.py", files],
        cwd=folder,
        env={"PERENNIAL_VAR": str(folder), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert 'SAID ["small.sql", 2]' in done.stdout
    assert done.stdout.count("SAID") == 1
    error = describe_end(done.returncode, "file:job", done.stdout.splitlines())
    assert isinstance(error, RefusedError), error
    assert "or raise the limit (docs/reference/settings.md)" in str(error)
    return str(error).splitlines()


def test_the_time_of_spark_s_planner_counts(tmp_path: Path) -> None:
    """It evaluates constants and cannot be interrupted."""
    endless = (
        "SELECT aggregate(sequence(1, 100000), 0L, (s, x) -> s + aggregate(sequence(1, 100000), 0L, (t, y) -> t + y)) AS n FROM v"
    )
    (line, *_) = run_beyond(tmp_path, replace(LIMITS, minutes=0.2), constant=endless)
    assert line.startswith(
        f"{WORK}, constant.sql: stopped after 0.2 minutes, the most that a query may take (PERENNIAL_QUERY_MINUTES)."
    )


def test_the_planning_of_rows_that_are_stored_counts(tmp_path: Path) -> None:
    """To keep the rows, Spark plans them: it evaluates their constants before any task runs."""
    (line, *_) = run_beyond(tmp_path, replace(LIMITS, minutes=0.2), STORE)
    assert line.startswith(f"{WORK}, stored.sql: stopped after 0.2 minutes")


def test_rows_of_a_step_that_no_result_has_are_counted(tmp_path: Path) -> None:
    grows = "SELECT max(x) AS x FROM (SELECT explode(sequence(1, a * 1000000)) AS x FROM v, range(1000000))"
    (line, *_) = run_beyond(tmp_path, replace(LIMITS, rows=1_000_000), explode=grows)
    found = re.match(
        f"{WORK}, explode.sql: stopped when one of its steps had produced ([0-9,]+) rows, of 1,000,000 allowed", line
    )
    assert found is not None, line
    assert int(found[1].replace(",", "")) > 2_000_000
    assert "for each of 2 dates (PERENNIAL_QUERY_ROWS)" in line


def test_bytes_between_steps_are_counted(tmp_path: Path) -> None:
    (line, *_) = run_beyond(tmp_path, replace(LIMITS, gb=0.001), wide=HASHES)
    assert re.match(
        rf"{WORK}, wide.sql: stopped when it had shuffled and spilled [0-9.]+ GB, of 0.001 GB allowed for each of 2 dates", line
    ), line


def test_an_overfull_disk_names_all_queries_that_run(tmp_path: Path) -> None:
    (line, *_) = run_beyond(tmp_path, replace(LIMITS, disk_gb=0.02), wide=HASHES, other=HASHES)
    assert re.match(rf"{WORK}, (wide|other).sql: stopped with [0-9.]+ GB on the local disk, of 0.02 GB allowed", line), line
    assert "2 queries ran: " in line
    assert "wide.sql has shuffled" in line
    assert "other.sql has shuffled" in line
