"""The Spark job of the stage clean: raw drops of many dates become typed partitions; rows that break a rule are quarantined."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Lock

import perennial.spark.lean  # noqa: F401

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from perennial.clean.big import judge_big_day
from perennial.clean.job_file import CleanJob, TableToClean
from perennial.clean.rows import read_rows
from perennial.clean.shape import Shape, is_projection, judge_small_days, of_days
from perennial.clean.step import refuse_failures
from perennial.clean.step_worker import PROBLEM
from perennial.errors import RefusedError
from perennial.lake.days import REFERENCE
from perennial.lake.tables import Partition, refuse_changed
from perennial.spark.batch_independence import check_batch_independence, middle
from perennial.spark.budget import within_budget
from perennial.spark.digest import empty_content, partition_contents
from perennial.spark.job import all_of, run_job, several_at_once, write_text
from perennial.spark.session import size_session
from perennial.spark.sql import failing_on_rows, use_time_zone
from perennial.spark.tables import Stopwatch, commit, days_filter, open_database, table_name, withdraw

log = logging.getLogger("perennial.spark")
QUARANTINE = "quarantine"
_one_at_a_time = Lock()
"""All tables share the table of quarantined rows."""


def clean(spark: SparkSession, job: CleanJob) -> None:
    """Clean every table of the job, several at a time."""
    use_time_zone(spark, job.time_zone)
    open_database(spark, job.database)
    size_session(spark)
    with several_at_once() as pool:
        all_of(pool.submit(_clean_table, spark, job.database, table).result for table in job.tables)


def _clean_table(spark: SparkSession, database: str, table: TableToClean) -> None:
    accepted: set[str] = set()
    for part in _divide(table):
        accepted |= _clean_days(spark, database, part)
    withdrawn = sorted({*table.withdraw, *(day for day in table.held if day not in accepted and day != REFERENCE)})
    if withdrawn:
        withdraw(spark, table_name(database, table.table), withdrawn)


def _divide(table: TableToClean) -> Iterator[TableToClean]:
    """Yield the table with all its small days, then with each of the big ones."""
    small = {day: drop for day, drop in table.days.items() if day not in table.big}
    if small:
        yield replace(table, days=small, big=())
    for day in sorted(table.big):
        yield replace(table, days={day: table.days[day]}, big=[day])


def _clean_days(spark: SparkSession, database: str, table: TableToClean) -> set[str]:
    """Clean the days of a table: many small ones, or a big one. Return the accepted ones."""
    watch = Stopwatch()
    with within_budget(spark, f"The check of the rows of {table.name}"):
        judged = judge_big_day(spark, table) if table.big else judge_small_days(read_rows(spark, table).persist(), table)
    for day, refusal in judged.refused.items():
        write_text(spark, table.days[day].refusal, json.dumps(refusal.to_json(), sort_keys=True))
        log.warning("%s: %s refused: %s", table.table, day, refusal.cause())
    if judged.accepted:
        quarantined = sum(judged.accepted.values())
        with _one_at_a_time:
            _write_quarantine(judged.broken, database, table.name, sorted(judged.accepted), quarantined)
        total = _write_accepted(spark, judged.good, database, table, judged.accepted)
        log.info(
            "%s: %s dates, %s rows, %s quarantined, %.1f s",
            table.table, len(judged.accepted), f"{total:,}", f"{quarantined:,}", watch.seconds,
        )  # fmt: skip
    judged.release()
    return set(judged.accepted)


def _write_quarantine(broken: DataFrame, database: str, source: str, days: list[str], quarantined: int) -> None:
    """Replace the quarantine of these days; commit nothing if there are no rows to write or remove."""
    spark, name = broken.sparkSession, table_name(database, QUARANTINE)
    replaces = of_days(days) & (F.col("source") == source)
    if quarantined == 0 and (not spark.catalog.tableExists(name) or spark.table(name).where(replaces).limit(1).count() == 0):
        return
    rows = broken.select("date", F.lit(source).alias("source"), "file", "position", "column", "rule", "value", "row")
    commit(rows, name, replaces=replaces, partitioned_by=("date", "source"))


def _write_accepted(
    spark: SparkSession, drop: DataFrame, database: str, table: TableToClean, quarantined: Mapping[str, int]
) -> int:
    """Run the source's cleaning step on the good rows and commit all accepted days at once; return the number of rows."""
    days = sorted(quarantined)
    is_reference, is_big = days == [REFERENCE], bool(table.big)
    shape = Shape(spark, drop, table)
    file = shape.file
    compared = middle(days)
    alone = shape.apply(drop.where(days_filter("date", [compared]))) if shape.is_a_step and len(days) > 1 else None
    shaped = shape.apply(drop)
    # The good rows of a big day are kept already. Rows that a projection makes of them need not be kept too.
    is_kept = not is_big or (shape.is_a_step and not is_projection(shaped))
    sql = table.sql or ""
    with within_budget(spark, file), failing_on_rows(file, sql):
        # To keep rows, Spark plans them and evaluates the constants of the query.
        cached = (shaped.coalesce(1) if is_reference and not is_big else shaped).persist() if is_kept else shaped
        shaped = cached if table.step is None else refuse_failures(cached, file)
        contents = partition_contents(shaped, None if is_reference else "date", is_big=is_big)
    if not set(contents) <= set(days):
        raise RefusedError(
            f"{file}: the query returns rows of dates that are not in its drops",
            [str(day) for day in sorted(set(contents) - set(days), key=str)],
            "Select the column date of the view drop unchanged.",
        )
    if alone is not None:
        alone = alone.drop(PROBLEM)
        check_batch_independence(file, sql, "date", compared, shaped, alone, "Compute each row from rows of its own date only.")
    empty = empty_content(shaped.schema)
    partitions = {
        day: Partition(table.days[day].key, content.digest, content.rows, quarantined[day])
        for day in days
        for content in [contents.get(day, empty)]
    }
    refuse_changed(table.same, partitions, f"clean_{table.name}")
    commit(
        shaped,
        table_name(database, table.table),
        replaces=F.lit(True) if is_reference else days_filter("date", days),
        partitioned_by=() if is_reference else ("date",),
        partitions=partitions,
    )
    if is_kept:
        cached.unpersist()
    return sum(partition.rows for partition in partitions.values())


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("clean", arguments, CleanJob.from_json, clean)


if __name__ == "__main__":
    main(sys.argv[1:])
