"""The Spark job of the stage analyse: lookups, features, analyses and profiles of many dates, each query in one pass."""

from __future__ import annotations

import sys
from typing import Any

from pyspark.sql import SparkSession

from perennial.analyse.day_profile import profile
from perennial.analyse.features import feature_rows, join_lookups, lookup_rows, refuse_undated
from perennial.analyse.partitions import store_days
from perennial.analyse.views import CleanTables, sight_of_dates, sight_of_features, sight_of_lookups
from perennial.lake.spark_job import run_job
from perennial.lake.spark_sql import run_query
from perennial.lake.spark_tables import open_database


def analyse(spark: SparkSession, job: dict[str, Any]) -> None:
    """Make everything the job names: lookups first, since features join them."""
    database, lookback = job["database"], job["lookback_days"]
    open_database(spark, database)
    lookups = [(lookup, sight_of_lookups(lookup["days"], lookback)) for lookup in job["lookups"]]
    features = [(item, sight_of_features(item["days"], lookback)) for item in job["features"]]
    analyses = [(item, sight_of_dates(item["days"], lookback)) for item in job["analysis"]]
    profiles = [(item, sight_of_dates(item["days"], 0)) for item in job["profile"]]
    work = [*lookups, *features, *analyses, *profiles]
    tables = CleanTables(spark, database, job["tables"], [sight for _, sight in work])
    for item, sight in lookups:
        tables.show(sight)
        rows = lookup_rows(run_query(spark, item["file"], item["sql"]), item)
        store_days(rows, **_place(item, database), day_column="as_of", unique=item["key"])
    for item, sight in features:
        tables.show(sight)
        rows = feature_rows(run_query(spark, item["file"], item["sql"]), item)
        rows = join_lookups(spark, rows, item, database)
        store_days(rows, **_place(item, database), day_column="date", unique=item["row_key"])
    for item, sight in analyses:
        tables.show(sight)
        rows = refuse_undated(run_query(spark, item["file"], item["sql"]), item["file"])
        store_days(rows, **_place(item, database), day_column="date")
    for item, _ in profiles:
        rows = profile({name: tables.of_days(name, item["days"]) for name in item["sources"]})
        store_days(rows, **_place(item, database), day_column="date", unique=["table", "column"])


def _place(item: dict[str, Any], database: str) -> dict[str, Any]:
    return {"file": item["file"], "database": database, "table": item["table"], "keys": item["days"]}


if __name__ == "__main__":
    run_job("analyse", sys.argv[1:], analyse)
