"""The job of analyse in Spark: what it computes for a table is computed once."""

from __future__ import annotations

from pathlib import Path

from spark_job import run_job

from stack.spark_archive import hadoop_catalog

JOB = """
import json
from pyspark.sql import SparkSession
from perennial.analyse import partitions
from perennial.analyse.job import analyse
from perennial.lake.spark_tables import open_database

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
spark.sql(
    "SELECT DATE '2026-03-01' + CAST(id % 4 AS INT) AS date, concat('k', id % 5) AS k, CAST(id AS DOUBLE) AS x, id % 3 = 0 AS late "
    "FROM range(200)"
).writeTo("ice.lab.clean_visits").using("iceberg").create()
snapshot = spark.sql("SELECT snapshot_id FROM ice.lab.clean_visits.snapshots").first()[0]
DAYS = {day: "key" for day in ("2026-03-03", "2026-03-04")}
LOOKUP = '''SELECT d.as_of, v.k, AVG(v.x) AS %s FROM dates d JOIN visits v ON v.date >= d.as_of - 1 AND v.date < d.as_of
            GROUP BY d.as_of, v.k'''
FEATURES = "SELECT v.date, v.k, v.x, v.late FROM visits v JOIN dates d ON v.date = d.date"
ANALYSIS = "SELECT v.date, COUNT(*) AS n FROM visits v JOIN dates d ON v.date = d.date GROUP BY v.date"


def item(table, sql, **more):
    return {"table": table, "file": f"{table}.sql", "sql": sql, "days": DAYS, "held": {}, **more}


lookups = [{"name": n, "table": f"lookup_{n}", "key": ["k"], "values": [n]} for n in ("a", "b", "c")]
job = {
    "database": "lab", "lookback_days": 1, "withdraw": {},
    "tables": {"visits": {"table": "clean_visits", "snapshot_id": snapshot, "dated": True}},
    "lookups": [item(sql=LOOKUP % one["name"], **one) for one in lookups],
    "features": [item("features", FEATURES, request=[["k", "category"]], row_key=["x"], label="late", lookups=lookups)],
    "analysis": [item("analysis_day", ANALYSIS), item("analysis_again", ANALYSIS)],
    "profile": [item("profile", "", sources=["visits"])],
}
cached, commit = {}, partitions.commit


def watched(rows, name, **facts):
    cached[name] = rows.storageLevel.useMemory
    commit(rows, name, **facts)


partitions.commit = watched
analyse(spark, job)
print("SAID " + json.dumps(cached))
"""


def test_rows_are_still_cached_when_they_are_written(tmp_path: Path) -> None:
    """Spark drops from its cache what was read through a view that is replaced, and computes it again without a word."""
    names = ("lookup_a", "lookup_b", "lookup_c", "features", "analysis_day", "analysis_again", "profile")
    assert run_job(tmp_path, JOB, hadoop_catalog(tmp_path)) == {f"ice.`lab`.`{name}`": True for name in names}
