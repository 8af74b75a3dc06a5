"""The job of analyse in Spark: what it computes for a table is computed once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from spark_job import run_jobs

from stack.spark_archive import hadoop_catalog

JOB = """
import json
from pyspark.sql import SparkSession
from perennial.analyse import partitions
from perennial.analyse.job import analyse
from perennial.analyse.job_file import AnalyseJob
from perennial.spark.tables import open_database

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
spark.sql(
    "SELECT DATE '2026-03-01' + CAST(id % 4 AS INT) AS date, concat('k', id % 5) AS k, CAST(id AS DOUBLE) AS x, "
    "id % 3 = 0 AS late FROM range(200)"
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
    "features": [
        item("features", FEATURES, request=[["k", "category"]], row_key=["x"], label="late", later_label=None, lookups=lookups),
    ],
    "labels": [],
    "analysis": [item("analysis_day", ANALYSIS), item("analysis_again", ANALYSIS)],
    "profile": [{"table": "profile", "file": "the profile", "days": DAYS, "held": {}, "sources": ["visits"]}],
}
"""

CACHED = """
cached, commit = {}, partitions.commit


def watched(rows, name, **facts):
    cached[name] = rows.storageLevel.useMemory
    commit(rows, name, **facts)


partitions.commit = watched
analyse(spark, AnalyseJob.from_json(job))
print("SAID " + json.dumps(cached))
partitions.commit = commit
"""


FAILING = """
from perennial.errors import RefusedError

fails = ANALYSIS.replace("COUNT(*)", "SUM(1 / (v.x - v.x))"), ANALYSIS.replace("COUNT(*)", "CAST(MAX(v.k) AS INT)"), ANALYSIS
job["analysis"] = [item(f"analysis_{index}", sql) for index, sql in enumerate(fails)]
said = []
unresolved = ANALYSIS.replace("v.x", "v.y").replace("*", "v.y")
for changes in ({}, {"analysis": [item(f"analysis_{index}", unresolved) for index in (3, 4)]}):
    try:
        analyse(spark, AnalyseJob.from_json(job | changes))
    except RefusedError as error:
        said.append([error.what, *error.problems])
tables = [row.tableName for row in spark.sql("SHOW TABLES IN ice.lab").collect()]
def snapshots(table):
    return spark.sql(f"SELECT snapshot_id FROM ice.lab.{table}.snapshots").count()


named = job["lookups"]
other = FEATURES.replace("v.k, v.x", "v.late AS k, v.date AS x")
wrong = {
    "lookups": [
        named[0] | {"values": ["b", "c"]},
        named[1] | {"sql": named[1]["sql"].replace("AVG(v.x)", "MAX(v.k)")},
        named[2] | {"sql": named[2]["sql"].replace("v.k", "v.y")},
    ],
    "features": [job["features"][0] | {"sql": other, "request": [["k", "category"], ["x", "time"]]}],
    "analysis": [item("analysis_day", ANALYSIS.replace("v.date,", "CAST(v.date AS STRING) AS date,"))],
}
before = [snapshots(table) for table in ("lookup_a", "features", "analysis_day")]
try:
    analyse(spark, AnalyseJob.from_json(job | wrong))
except RefusedError as error:
    all_at_once = [error.what, *error.problems]
untouched = before == [snapshots(table) for table in ("lookup_a", "features", "analysis_day")]
LABELS = "SELECT v.date, v.x, v.late FROM visits v JOIN dates d ON v.date = d.date"
kept = FEATURES.replace(", v.late", "")
labels = []
for features, query in (
    (FEATURES, LABELS),
    (kept, LABELS.replace("v.x", "CAST(v.x AS INT) AS x")),
    (kept, f"{LABELS} UNION ALL {LABELS}"),
):
    rows = [item("features", features, request=[["k", "category"]], row_key=["x"], label=None, later_label="late", lookups=[])]
    late = [item("labels", query, request=[["k", "category"]], row_key=["x"], label="late", known_after_days=1)]
    try:
        changes = {"lookups": [], "features": rows, "labels": late, "analysis": [], "profile": []}
        analyse(spark, AnalyseJob.from_json(job | changes))
    except RefusedError as error:
        labels.append(str(error))
print("SAID " + json.dumps([said, tables, labels, all_at_once, untouched]))
"""


SMALL_KEY = """
small = LABELS.replace("v.x", "CAST(v.x AS SMALLINT) AS x")
rows = [item("features", small.replace(", v.late", ""), request=[], row_key=["x"], label=None, later_label="late", lookups=[])]
late = [item("labels", small, request=[], row_key=["x"], label="late", known_after_days=1)]
for features, labels in ((rows, []), ([], late)):  # in one run, and in the next
    changes = {"lookups": [], "features": features, "labels": labels, "analysis": [], "profile": []}
    analyse(spark, AnalyseJob.from_json(job | changes))
print("SAID " + json.dumps(spark.table("ice.lab.labels").count()))
"""


WHOLE_CATEGORY = """
number = "mod(CAST(v.x AS INT), 5) AS k"
by_number = LOOKUP.replace("v.k, AVG", f"{number}, AVG").replace("BY d.as_of, v.k", "BY ALL")
keyed = lookups[0] | item(sql=by_number % "a", **lookups[0])
features = job["features"][0] | {"sql": FEATURES.replace("v.k", number), "lookups": [lookups[0]]}
changes = {"lookups": [keyed], "features": [features], "labels": [], "analysis": [], "profile": []}
analyse(spark, AnalyseJob.from_json(job | changes))
made = spark.table("ice.lab.features")
joined = made.where("a__a IS NOT NULL").count()
types = [dict(made.dtypes)["k"], dict(spark.table("ice.lab.lookup_a").dtypes)["k"]]
print("SAID " + json.dumps([types, sorted({row.k for row in made.collect()}), joined, made.count()]))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("job")
    return run_jobs(folder, JOB + CACHED + FAILING + SMALL_KEY + WHOLE_CATEGORY, hadoop_catalog(folder))


def test_rows_are_still_cached_when_they_are_written(said: list[Any]) -> None:
    """Spark drops from its cache what was read through a view that is replaced, and computes it again without a word."""
    names = ("lookup_a", "lookup_b", "lookup_c", "features", "analysis_day", "analysis_again", "profile")
    assert said[0] == {f"ice.`lab`.`{name}`": True for name in names}


def test_queries_that_fail_are_all_named_with_what_failed(said: list[Any]) -> None:
    (on_rows, in_planning), tables, labels, _, _ = said[1]
    assert [line.split("\n")[0] for line in on_rows] == [
        "The pipeline's SQL is refused",
        "analysis_0.sql, line 1: division by zero in `1 / (v.x - v.x)`. Define the result for such rows, for example with "
        "try_divide, NULLIF or CASE.",
        "analysis_1.sql, line 1: the STRING 'k4' cannot be cast to INT in `CAST(MAX(v.k) AS INT)`. Define the result for such "
        "rows, for example with try_cast, which gives null.",
    ]
    assert "analysis_2" in tables  # what works is kept
    what, *problems = in_planning
    assert what == "The pipeline's SQL is refused"
    assert [problem.partition(":")[0] for problem in problems] == ["analysis_3.sql, line 1", "analysis_4.sql, line 1"]
    assert all("unknown column v.y. Did you mean v." in problem for problem in problems)
    selected, typed, doubled = labels
    assert selected.startswith("features.sql: it selects the label 'late', which is known only after its date")
    assert "column 'x' has type int, but type double in features.sql" in typed
    assert "labels.sql: several rows with the same (x) on a date" in doubled
    assert re.search(r"2026-03-0[34]: \d+\.0, 2 times", doubled)


def test_problems_of_types_and_columns_of_all_queries_come_at_once_before_any_work(said: list[Any]) -> None:
    """One a run would cost a Spark job each."""
    _, _, _, (what, *problems), untouched = said[1]
    assert what == "The pipeline's SQL is refused"
    assert [problem.partition("\n")[0] for problem in problems] == [
        "lookup_a.sql: column 'b' is missing",
        "lookup_a.sql: column 'c' is missing",
        "lookup_a.sql: column 'a' is not declared in pipeline.yaml",
        "lookup_b.sql: column 'b': expected double, found string. Change lookup_b.sql or pipeline.yaml "
        "(docs/reference/sql-types.md).",
        "lookup_c.sql, line 1: unknown column v.y. Did you mean v.k, v.x, v.date, v.late, d.date?",
        "features.sql: column 'x': expected int, found date",
        "features.sql: column 'k': expected string, found boolean",
        "analysis_day.sql: expected a column date of type date, found string. Select date from the view dates.",
    ]
    assert untouched


def test_a_row_key_of_small_integers_is_that_of_its_table(said: list[Any]) -> None:
    """Iceberg stores them as int: labels that are made in another run than the features meet the type of the table."""
    assert said[2] == 100


def test_a_whole_number_is_stored_as_the_text_of_a_category_and_joins_its_lookup(said: list[Any]) -> None:
    types, values, joined, rows = said[3]
    assert types == ["string", "string"]
    assert values == ["0", "1", "2", "3", "4"]
    assert joined == rows > 0
