"""The Spark job of the stage analyse: lookups, features, analyses and profiles of many dates, each query in one pass."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.day_profile import profile
from perennial.analyse.features import feature_rows, join_lookups, lookup_rows, refuse_undated
from perennial.analyse.partitions import store_days
from perennial.analyse.views import CleanTables, Sight, sight_of_dates, sight_of_features, sight_of_lookups
from perennial.lake.spark_job import run_job, several_at_once
from perennial.lake.spark_sql import run_query
from perennial.lake.spark_tables import open_database, table_name, withdraw


def analyse(spark: SparkSession, job: dict[str, Any]) -> None:
    """Make everything the job names, several tables at a time: lookups first, since features join them."""
    database, lookback = job["database"], job["lookback_days"]
    open_database(spark, database)
    for table, days in job["withdraw"].items():
        withdraw(spark, table_name(database, table), days)
    lookups = [(lookup, sight_of_lookups(lookup["days"], lookback)) for lookup in job["lookups"]]
    features = [(item, sight_of_features(item["days"], lookback)) for item in job["features"]]
    analyses = [(item, sight_of_dates(item["days"], lookback)) for item in job["analysis"]]
    profiles = [(item, sight_of_dates(item["days"], 0)) for item in job["profile"]]
    work = [*lookups, *features, *analyses, *profiles]
    if not work:
        return
    tables = CleanTables(spark, database, job["tables"], [sight for _, sight in work])

    def query(item: dict[str, Any], sight: Sight) -> DataFrame:
        """Plan a query; it keeps the views it was planned with, so the next one may change them while this one runs."""
        tables.show(sight)
        return run_query(spark, item["file"], item["sql"], tables.views)

    with several_at_once() as pool:

        def store(rows: DataFrame, item: dict[str, Any], day_column: str, unique: Sequence[str] = ()) -> Future[None]:
            return pool.submit(store_days, rows, **_place(item, database), day_column=day_column, unique=unique)

        stored = [store(lookup_rows(query(item, sight), item), item, "as_of", item["key"]) for item, sight in lookups]
        for one in stored:
            one.result()
        stored = []
        for item, sight in features:
            rows = join_lookups(spark, feature_rows(query(item, sight), item), item, database)
            stored.append(store(rows, item, "date", item["row_key"]))
        for item, _ in profiles:
            rows = profile({name: tables.of_days(name, item["days"]) for name in item["sources"]})
            stored.append(store(rows, item, "date", ["table", "column"]))
        for item, sight in analyses:
            stored.append(store(refuse_undated(query(item, sight), item["file"]), item, "date"))
        for one in stored:
            one.result()


def _place(item: dict[str, Any], database: str) -> dict[str, Any]:
    return {"file": item["file"], "database": database, "table": item["table"], "keys": item["days"], "held": item["held"]}


if __name__ == "__main__":
    run_job("analyse", sys.argv[1:], analyse)
