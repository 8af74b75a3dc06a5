"""The Spark job of the stage analyse: lookups, features, analyses and profiles of many dates, each query in one pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import perennial.spark.lean  # noqa: F401

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.day_profile import profile
from perennial.analyse.features import join_lookups, read_lookups, with_sample
from perennial.analyse.job_file import AnalyseJob, FeaturesQuery, LabelsQuery, TableToMake
from perennial.analyse.partitions import store_days
from perennial.analyse.queries import Queries
from perennial.analyse.row_rules import NO_CHECKS, Checks, feature_checks
from perennial.analyse.views import read_clean_tables
from perennial.analyse.visible import range_of_dates, range_of_features, range_of_labels, range_of_lookups
from perennial.spark.batch_independence import compared
from perennial.spark.job import all_of, run_job, several_at_once
from perennial.spark.session import size_session
from perennial.spark.sql import use_time_zone
from perennial.spark.tables import open_database, table_name, withdraw

Item = TypeVar("Item", bound=TableToMake)


def analyse(spark: SparkSession, job: AnalyseJob) -> None:
    """Plan all queries of the job, then compute its tables, several at a time. Lookups come first, since features join them."""
    use_time_zone(spark, job.time_zone)
    database, lookback = job.database, job.lookback_days
    open_database(spark, database)
    size_session(spark)
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
    tables = read_clean_tables(spark, database, job.tables, work, is_big=job.is_big)
    queries = Queries(spark, job, tables)
    # Every query is planned before the first one runs, so that the problems of all files are reported at once.
    # Also, when a view is replaced, Spark silently evicts the rows that were read through it from its cache.
    planned = all_of(
        [
            *[partial(_plan, queries.lookup, item, "as_of", item.key) for item in job.lookups],
            *[partial(_plan, queries.features, item, "date", item.row_key, feature_checks(item)) for item in job.features],
            *[partial(_plan, queries.labels, item, "date", item.row_key) for item in job.labels],
            *[partial(_plan, queries.analysis, item, "date") for item in job.analysis],
        ]
    )
    with several_at_once() as pool:

        def start(plans: Iterable[_Planned]) -> list[Callable[[], None]]:
            return [pool.submit(plan.store, database, is_big=job.is_big).result for plan in plans]

        lookups, others = planned[: len(job.lookups)], planned[len(job.lookups) :]
        all_of(start(lookups))
        profiles = []
        for item in job.profile:
            rows = profile({name: tables.of_days(name, item.days) for name in item.sources}, is_big=job.is_big)
            profiles.append(_Planned(item, rows, {}, "date", ["table", "column"]))
        all_of([*start(profiles), *start(plan.complete(spark, database) for plan in others)])


@dataclass(frozen=True, slots=True)
class _Planned:
    """The planned rows of one table: those of all its days, and those of some days computed alone."""

    item: TableToMake
    rows: DataFrame
    alone: Mapping[str, DataFrame]
    day_column: str
    unique: Sequence[str]
    checks: Checks = NO_CHECKS

    def complete(self, spark: SparkSession, database: str) -> _Planned:
        """
        Return features joined with the lookups, whose tables hold their rows now, and features and labels with their samples.

        Another plan is returned as it is.
        """
        item = self.item
        if isinstance(item, FeaturesQuery):
            lookups = read_lookups(spark, item, database)
            return self._change(lambda rows: with_sample(join_lookups(rows, item, lookups), item.row_key))
        if isinstance(item, LabelsQuery):
            return self._change(lambda rows: with_sample(rows, item.row_key))
        return self

    def _change(self, change: Callable[[DataFrame], DataFrame]) -> _Planned:
        return replace(self, rows=change(self.rows), alone={day: change(rows) for day, rows in self.alone.items()})

    def store(self, database: str, *, is_big: bool) -> None:
        """Compute the rows and commit them."""
        store_days(
            self.rows,
            self.item,
            database,
            day_column=self.day_column,
            unique=self.unique,
            checks=self.checks,
            alone=self.alone,
            is_big=is_big,
        )


def _plan(
    make: Callable[[Item], DataFrame],
    item: Item,
    day_column: str,
    unique: Sequence[str] = (),
    checks: Checks = NO_CHECKS,
) -> _Planned:
    """Plan a query for all its days and, to compare them with the batch, for some days alone; a single date needs none."""
    days = item.days
    alone = {day: make(replace(item, days={day: days[day]})) for day in compared(days)} if len(days) > 1 else {}
    return _Planned(item, make(item), alone, day_column, unique, checks)


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("analyse", arguments, AnalyseJob.from_json, analyse)


if __name__ == "__main__":
    main(sys.argv[1:])
