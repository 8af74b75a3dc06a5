"""The Spark job of the stage analyse: lookups, features, analyses and profiles of many dates, each query in one pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import perennial.spark.lean  # noqa: F401

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.day_profile import profile
from perennial.analyse.features import feature_rows, join_lookups, label_rows, lookup_rows, refuse_undated
from perennial.analyse.job_file import (
    AnalyseJob,
    FeaturesQuery,
    LabelsQuery,
    LookupQuery,
    Query,
    TableToMake,
)
from perennial.analyse.partitions import store_days
from perennial.analyse.row_rules import NO_CHECKS, Checks, feature_checks
from perennial.analyse.views import (
    CleanTables,
    VisibleRange,
    range_of_dates,
    range_of_features,
    range_of_labels,
    range_of_lookups,
)
from perennial.spark.batch_independence import compared
from perennial.spark.job import all_of, run_job, several_at_once
from perennial.spark.sql import run_query, use_time_zone
from perennial.spark.tables import open_database, read_table, table_name, withdraw

Item = TypeVar("Item", bound=TableToMake)


def analyse(spark: SparkSession, job: AnalyseJob) -> None:
    """Compute all tables of the job, several at a time. Lookups come first, since features join them."""
    use_time_zone(spark, job.time_zone)
    database, lookback = job.database, job.lookback_days
    open_database(spark, database)
    for table, days in job.withdraw.items():
        withdraw(spark, table_name(database, table), days)
    work = [
        *[range_of_lookups(item.days, lookback) for item in job.lookups],
        *[range_of_features(item.days, lookback) for item in job.features],
        *[range_of_labels(item.days, lookback, item.known_after_days) for item in job.labels],
        *[range_of_dates(item.days, lookback) for item in job.analysis],
        *[range_of_dates(item.days, 0) for item in job.profile],
    ]
    if not work:
        return
    tables = CleanTables(spark, database, job.tables, work)
    types: dict[str, str] = {}

    def query(item: Query, visible: VisibleRange) -> DataFrame:
        """Plan a query. It keeps the views of its planning, so the next query may change them while this one runs."""
        tables.show(visible)
        return run_query(spark, item.file, item.sql, tables.views)

    def lookup(item: LookupQuery) -> DataFrame:
        return lookup_rows(query(item, range_of_lookups(item.days, lookback)), item)

    def features(item: FeaturesQuery) -> DataFrame:
        rows = feature_rows(query(item, range_of_features(item.days, lookback)), item)
        types.update(rows.dtypes)
        return join_lookups(spark, rows, item, database)

    def labels(item: LabelsQuery) -> DataFrame:
        if not job.features:
            types.update(read_table(spark, table_name(database, "features")).dtypes)
        return label_rows(query(item, range_of_labels(item.days, lookback, item.known_after_days)), item, types)

    def analysis(item: Query) -> DataFrame:
        return refuse_undated(query(item, range_of_dates(item.days, lookback)), item.file)

    with several_at_once() as pool:

        def plan(
            make: Callable[[Item], DataFrame],
            item: Item,
            day_column: str,
            unique: Sequence[str] = (),
            checks: Checks = NO_CHECKS,
        ) -> Callable[[], None]:
            rows, alone = make(item), _make_alone(make, item)
            return partial(store_days, rows, item, database, day_column=day_column, unique=unique, checks=checks, alone=alone)

        def start(plans: Sequence[Callable[[], None]]) -> list[Callable[[], None]]:
            return [pool.submit(store).result for store in plans]

        # All queries of a step are planned before the first result is cached: when a view is replaced, Spark silently evicts
        # the rows that were read through it from the cache, and would compute them again for each use.
        all_of(start(all_of(partial(plan, lookup, item, "as_of", item.key) for item in job.lookups)))
        profiles = []
        for item in job.profile:
            rows = profile({name: tables.of_days(name, item.days) for name in item.sources})
            profiles.append(partial(store_days, rows, item, database, day_column="date", unique=["table", "column"]))
        started = start(profiles)  # profiles read no views
        planned = [partial(plan, features, item, "date", item.row_key, feature_checks(item)) for item in job.features]
        planned += [partial(plan, labels, item, "date", item.row_key) for item in job.labels]
        planned += [partial(plan, analysis, item, "date") for item in job.analysis]
        all_of([*started, *start(all_of(planned))])


def _make_alone(make: Callable[[Item], DataFrame], item: Item) -> dict[str, DataFrame]:
    """Compute some dates of a batch alone, to compare them with the batch; a single date needs no comparison."""
    days = item.days
    return {day: make(replace(item, days={day: days[day]})) for day in compared(days)} if len(days) > 1 else {}


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("analyse", arguments, AnalyseJob.from_json, analyse)


if __name__ == "__main__":
    main(sys.argv[1:])
