"""The tables of big dates: their tasks share the rows, and the contents are those of the small way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from spark_job import run_jobs

from stack.spark_archive import hadoop_catalog

JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.analyse import partitions
from perennial.analyse.job import analyse
from perennial.analyse.job_file import AnalyseJob
from perennial.errors import RefusedError
from perennial.spark import digest
from perennial.spark.digest import partition_contents
from perennial.spark.tables import open_database

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
kept, commit = {}, partitions.commit


def watched(rows, name, **facts):
    contents = {day: [made.digest, made.rows] for day, made in facts["partitions"].items()}
    kept[name.rpartition(".")[2].strip("`")] = [contents, rows.rdd.getNumPartitions()]
    commit(rows, name, **facts)


partitions.commit = watched
for database, is_big, days, features in json.loads(sys.argv[1]):
    kept.clear()
    open_database(spark, database)
    if not spark.catalog.tableExists(f"ice.{database}.clean_visits"):
        spark.sql('''
            SELECT DATE '2026-03-01' + CAST(id % 4 AS INT) AS date, concat('k', id % 7) AS k, id, id % 3 = 0 AS late,
              CAST(hash(id) % 50 AS DOUBLE) / 3 AS x, CAST(NULL AS STRING) AS nothing,
              CASE WHEN id % 5 = 0 THEN CAST(pow(-1.5, id % 90) AS DOUBLE) WHEN id % 11 = 0 THEN DOUBLE('NaN') END AS odd,
              CAST(id % 17 AS DECIMAL(9, 2)) AS price, CASE WHEN id = 1 THEN 1.0D END AS once
            FROM range(0, 4000, 1, 5)
        ''').writeTo(f"ice.{database}.clean_visits").using("iceberg").create()
    snapshot = spark.sql(f"SELECT snapshot_id FROM ice.{database}.clean_visits.snapshots").first()[0]
    days = dict.fromkeys(days, "key")

    def item(table, sql, **more):
        return {"table": table, "file": f"{table}.sql", "sql": sql, "days": days, "held": {}, **more}

    lookup = {"name": "rate", "table": "lookup_rate", "key": ["k"], "values": ["rate"], "days": days}
    request = [{"name": "k", "type": "category", "nullable": False}, {"name": "x", "type": "number", "nullable": True}]
    rates = '''SELECT d.as_of, v.k, AVG(CAST(v.late AS INT)) AS rate FROM dates d JOIN visits v
               ON v.date >= d.as_of - 1 AND v.date < d.as_of GROUP BY d.as_of, v.k'''
    counts = "SELECT v.date, v.k, COUNT(*) AS n FROM visits v JOIN dates d ON v.date = d.date GROUP BY v.date, v.k"
    job = {
        "database": database, "time_zone": "UTC", "lookback_days": 1, "withdraw": {}, "labels": [], "is_big": is_big,
        "tables": {"visits": {"table": "clean_visits", "snapshot_id": snapshot, "dated": True}},
        "lookups": [item(sql=rates, **lookup)],
        "features": [
            item("features", features, request=request, row_key=["id"], label="late", later_label=None, lookups=[lookup],
                 has_stored_labels=False)
        ],
        "analysis": [item("analysis_day", counts)],
        "profile": [{"table": "profile", "file": "the profile", "days": days, "held": {}, "sources": ["visits"]}],
    }
    try:
        analyse(spark, AnalyseJob.from_json(job))
        print("SAID " + json.dumps(kept))
    except RefusedError as error:
        print("SAID " + json.dumps(str(error)))

# More rows than the smallest number of groups takes: the digest is the same whether or not the number of rows is known before.
digest.MIN_BUCKETS, digest.ROWS_A_BUCKET = 4, 25
many = spark.range(1100).selectExpr("DATE '2026-03-01' + CAST(id % 11 = 0 AS INT) AS date", "id", "id DIV 2 AS k")
found = [partition_contents(many, "date", ["k"], "id % 7 = 0", is_big=is_big) for is_big in (False, True)]
few = [partition_contents(many.where("id < 99"), "date", ["k"], is_big=is_big) for is_big in (False, True)]
digest.MIN_BUCKETS = 1
few.append(partition_contents(many.where("id < 99"), "date", ["k"]))
print("SAID " + json.dumps([[str(each) for each in (found, few) for each in each], found[1]["2026-03-01"].keys]))
"""
FEATURES = "SELECT v.date, v.id, v.k, v.x, v.late FROM visits v JOIN dates d ON v.date = d.date"
ONE, TWO = ["2026-03-04"], ["2026-03-03", "2026-03-04"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("big")
    doubled = f"{FEATURES} UNION ALL {FEATURES} WHERE v.id = 7"
    jobs = [
        (f"{name}{number}", name == "big", days, features)
        for number, (days, features) in enumerate([(ONE, FEATURES), (TWO, FEATURES), (ONE, doubled)])
        for name in ("small", "big")
    ]
    # Joins of so few rows would otherwise need no shuffle.
    conf = ["--conf", "spark.sql.shuffle.partitions=4", "--conf", "spark.sql.autoBroadcastJoinThreshold=-1"]
    return run_jobs(folder, JOB, [*hadoop_catalog(folder), *conf], [json.dumps(jobs)])


@pytest.mark.parametrize("place", [0, 2], ids=["one date", "two dates"])
def test_tables_of_big_dates_have_the_contents_of_small_ones(said: list[Any], place: int) -> None:
    small, big = said[place], said[place + 1]
    assert {name: contents for name, (contents, _) in big.items()} == {name: contents for name, (contents, _) in small.items()}
    assert set(big) == {"lookup_rate", "features", "analysis_day", "profile"}
    assert sum(rows for _, rows in big["features"][0].values()) == 1000 * (1 + place // 2)


def test_tasks_share_the_rows_of_a_big_date(said: list[Any]) -> None:
    assert said[0]["features"][1] == 1
    assert said[1]["features"][1] > 1


def test_a_doubled_key_of_a_big_date_is_found(said: list[Any]) -> None:
    assert said[5] == said[4]
    assert said[5].startswith("features.sql: several rows with the same (id) on a date: 2026-03-04: 7, 2 times")


def test_a_digest_does_not_depend_on_the_way(said: list[Any]) -> None:
    (found, found_big, few, few_big, other), keys = said[6]
    assert found == found_big
    assert few == few_big
    assert keys == 550
    assert other != few  # of two dates, one has 90 rows, for which there are four groups, and the other 9
