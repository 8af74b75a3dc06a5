"""The Spark job of a trial: it plans and runs one query, or cleans one source, and commits nothing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import perennial.spark.lean  # noqa: F401

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from perennial.analyse.views import CleanTables
from perennial.clean.job_file import TableToClean
from perennial.clean.rows import read_rows
from perennial.clean.shape import Shape, broken_examples, good_rows, judge_days
from perennial.clean.step import refuse_failures
from perennial.spark.budget import within_budget
from perennial.spark.job import run_job, several_at_once, write_text
from perennial.spark.session import size_session
from perennial.spark.sql import use_time_zone
from perennial.spark.tables import days_filter, read_table, table_name
from perennial.trial.job_file import TrialJob
from perennial.trial.show import show_query, show_source
from perennial.trial.skew import MIN_TASKS


def try_out(spark: SparkSession, job: TrialJob) -> None:
    """Run the trial and write what it found."""
    use_time_zone(spark, job.queries.time_zone)
    size_session(spark)
    if job.is_big:
        tasks = max(MIN_TASKS, int(spark.conf.get("spark.sql.shuffle.partitions") or 0))
        spark.conf.set("spark.sql.shuffle.partitions", str(tasks))
    found: dict[str, Any] = {"quarantined": {}, "refused": {}, "examples": []}
    if job.source is not None:
        rows, alone = _read_clean(spark, job, job.source, found)
        found |= show_source(job, rows, alone)
    else:
        with several_at_once() as pool:
            read = {name: pool.submit(_read_clean, spark, job, name, found) for name in job.tables}
            clean = {name: future.result()[0] for name, future in read.items()}
        if job.is_big:
            # The rows of a trial lie together by date. In a run, the tasks of a big date share them.
            clean = {name: rows.repartition(tasks) for name, rows in clean.items()}
        dated = [name for name, table in job.tables.items() if table.dated]
        found |= show_query(spark, job, CleanTables(spark, clean, dated))
    write_text(spark, job.result, json.dumps(found))


def _read_clean(spark: SparkSession, job: TrialJob, name: str, found: dict[str, Any]) -> tuple[DataFrame, DataFrame]:
    """
    Return the clean rows of a table, and those of the day to show, cleaned alone, of a source to show.

    The rows and days that its contract does not accept are added to `found`.
    """
    table, parts = job.tables[name], []
    if table.held:
        held = read_table(spark, table_name(job.queries.database, table.table), table.snapshot_id)
        parts.append(held.where(days_filter("date", table.held)) if table.dated else held)
    if (drops := table.drops) is not None:
        with within_budget(spark, f"The check of the rows of {drops.name}"):
            rows = read_rows(spark, drops).persist()
            accepted, refused = judge_days(rows, drops)
        found["quarantined"][name] = {day: count for day, count in accepted.items() if count}
        found["refused"][name] = {day: refusal.to_json() for day, refusal in refused.items()}
        good = good_rows(rows, drops, sorted(accepted or drops.days)).where(F.lit(bool(accepted)))
        shape = Shape(spark, good, drops)
        parts.append(_apply(shape, good, drops))
        if name == job.source:
            found["examples"] = [asdict(example) for example in broken_examples(rows, job.day)]
            alone = good.where(days_filter("date", [job.day])) if table.dated else good
            return parts[-1], _apply(shape, alone, drops)
    first, *others = parts
    rows = first.unionByName(others[0]) if others else first
    return rows, rows


def _apply(shape: Shape, good: DataFrame, drops: TableToClean) -> DataFrame:
    rows = shape.apply(good)
    if drops.step is None:
        return rows
    with within_budget(rows.sparkSession, shape.file):
        return refuse_failures(rows.persist(), shape.file)


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("trial", arguments, TrialJob.from_json, try_out)


if __name__ == "__main__":
    main(sys.argv[1:])
