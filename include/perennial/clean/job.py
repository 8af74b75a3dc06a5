"""The Spark job of the stage clean: raw drops of many dates become typed partitions; rows that break a rule are quarantined."""

from __future__ import annotations

import json
import logging
import sys
from collections import defaultdict
from dataclasses import replace
from threading import Lock

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.job_file import CleanJob, TableToClean
from perennial.clean.rows import read_rows
from perennial.clean.verdict import EXAMPLES, Count, Example, judge
from perennial.errors import RefusedError
from perennial.lake.tables import Partition, refuse_changed
from perennial.spark.batch_independence import check_batch_independence, middle
from perennial.spark.digest import empty_content, partition_contents
from perennial.spark.job import all_of, run_job, several_at_once, write_text
from perennial.spark.sql import failing_on_rows, run_query
from perennial.spark.tables import REFERENCE, Stopwatch, commit, days_filter, open_database, table_name, withdraw

log = logging.getLogger("perennial.spark")
QUARANTINE = "quarantine"
DROP = "drop"
_one_at_a_time = Lock()
"""All tables share the view `drop` (until the query over it is planned) and the table of quarantined rows."""


def clean(spark: SparkSession, job: CleanJob) -> None:
    """Clean every table of the job, several at a time."""
    open_database(spark, job.database)
    with several_at_once() as pool:
        all_of(pool.submit(_clean_table, spark, job.database, table).result for table in job.tables)


def _clean_table(spark: SparkSession, database: str, table: TableToClean) -> None:
    if not table.days:
        withdraw(spark, table_name(database, table.table), table.withdraw)
        return
    watch = Stopwatch()
    rows = read_rows(spark, table).persist()
    quarantined = _count_accepted(spark, rows, table)
    days = sorted(quarantined)
    if days:
        with _one_at_a_time:
            _write_quarantine(rows, database, table.name, days, sum(quarantined.values()))
        total = _write_accepted(spark, rows, database, table, quarantined)
        log.info(
            "%s: %s dates, %s rows, %s quarantined, %.1f s",
            table.table, len(days), f"{total:,}", f"{sum(quarantined.values()):,}", watch.seconds,
        )  # fmt: skip
    withdrawn = sorted({*table.withdraw, *(day for day in table.held if day not in quarantined and day != REFERENCE)})
    if withdrawn:
        withdraw(spark, table_name(database, table.table), withdrawn)
    rows.unpersist()


def _count_accepted(spark: SparkSession, rows: DataFrame, table: TableToClean) -> dict[str, int]:
    """Return the number of rows to quarantine for each accepted day; record the other days as refused."""
    counts: dict[str, list[Count]] = defaultdict(list)
    for row in rows.groupBy(_day().alias("day"), "broken.column", "broken.rule").count().collect():
        counts[row["day"]].append(Count(row["column"], row["rule"], row["count"]))
    accepted = {}
    for day, drop in table.days.items():
        expected = sum(file.rows for file in drop.files)
        quarantined, refusal = judge(counts[day], expected, table.max_quarantine_share)
        if refusal is None:
            accepted[day] = quarantined
        else:
            refusal = replace(refusal, examples=_examples(rows, day))
            write_text(spark, drop.refusal, json.dumps(refusal.to_json(), sort_keys=True))
            log.warning("%s: %s refused: %s", table.table, day, refusal.cause())
    return accepted


def _day() -> Column:
    return F.coalesce(F.date_format("date", "yyyy-MM-dd"), F.lit(REFERENCE))


def _examples(rows: DataFrame, day: str) -> tuple[Example, ...]:
    broken = rows.where((_day() == day) & F.col("broken").isNotNull()).select("file", "position", "broken.*")
    return tuple(Example(**row.asDict()) for row in broken.orderBy("file", "position").limit(EXAMPLES).collect())


def _write_quarantine(rows: DataFrame, database: str, source: str, days: list[str], quarantined: int) -> None:
    """Replace the quarantine of these days; commit nothing if there are no rows to write or remove."""
    spark, name = rows.sparkSession, table_name(database, QUARANTINE)
    replaces = _of_days(days) & (F.col("source") == source)
    if quarantined == 0 and (not spark.catalog.tableExists(name) or spark.table(name).where(replaces).limit(1).count() == 0):
        return
    broken = rows.where(F.col("broken").isNotNull() & _of_days(days)).select(
        "date", F.lit(source).alias("source"), "file", "position", "broken.column", "broken.rule", "broken.value", "row"
    )
    commit(broken, name, replaces=replaces, partitioned_by=("date", "source"))


def _of_days(days: list[str]) -> Column:
    return F.col("date").isNull() if days == [REFERENCE] else days_filter("date", days)


def _write_accepted(spark: SparkSession, rows: DataFrame, database: str, table: TableToClean, quarantined: dict[str, int]) -> int:
    """Run the source's SQL on the good rows and commit all accepted days at once; return the number of rows."""
    days = sorted(quarantined)
    is_reference = days == [REFERENCE]
    good = rows.where(F.col("broken").isNull() & _of_days(days))
    date_column = [] if is_reference else ["date"]
    drop = good.select(*date_column, *[F.col(f"value_{name}").alias(name) for name, _ in table.columns])
    file = f"sources/{table.name}.sql"

    def shape(rows: DataFrame) -> DataFrame:
        if table.sql is None:
            return rows
        with _one_at_a_time:
            rows.createOrReplaceTempView(DROP)
            try:
                return run_query(spark, file, table.sql, (DROP,))
            finally:
                # Replacing the view would silently evict from Spark's cache the rows that another table read through it.
                spark.catalog.dropTempView(DROP)

    compared = middle(days)
    alone = shape(drop.where(days_filter("date", [compared]))) if table.sql is not None and len(days) > 1 else None
    shaped = shape(drop)
    _require_date(shaped, file, is_reference)
    shaped = (shaped.coalesce(1) if is_reference else shaped).persist()
    sql = table.sql or ""
    with failing_on_rows(file, sql):
        contents = partition_contents(shaped, None if is_reference else "date")
    if not set(contents) <= set(days):
        raise RefusedError(
            f"{file}: the query returns rows of dates that are not in its drops",
            [str(day) for day in sorted(set(contents) - set(days), key=str)],
            "Select the column date of the view drop unchanged.",
        )
    if alone is not None:
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
    shaped.unpersist()
    return sum(partition.rows for partition in partitions.values())


def _require_date(shaped: DataFrame, file: str, is_reference: bool) -> None:
    kind = {field.name: field.dataType for field in shaped.schema}.get("date")
    if not is_reference and not isinstance(kind, T.DateType):
        raise RefusedError(
            f"{file}: expected a column date of type date, found {kind.simpleString() if kind else 'none'}",
            remedy="Select date from the view drop.",
        )


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("clean", arguments, CleanJob.from_json, clean)


if __name__ == "__main__":
    main(sys.argv[1:])
