"""Writing Iceberg tables: one commit for all days of a job, which says what each day's partition now holds."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.errors import PerennialError
from perennial.lake.spark_conf import CATALOG
from perennial.lake.spark_sql import date_literal
from perennial.lake.tables import WITHDRAWN, Partition

log = logging.getLogger("perennial.spark")
REFERENCE = "reference"
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,127}")

TABLE_PROPERTIES = {
    "format-version": "2",
    # Rows are already one task a day; a shuffle before the write would only cost.
    "write.distribution-mode": "none",
    # A year of daily commits would otherwise leave tens of megabytes of metadata files.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
}

FILE_OPEN_COST = 256 * 1024
"""What opening a file weighs when Iceberg shares out files to tasks, in bytes read."""


def open_database(spark: SparkSession, database: str) -> None:
    """Create the database of the pipeline's tables, if need be."""
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{identifier(database)}")


def identifier(name: str) -> str:
    """Return a name fit to stand in SQL, or raise: names come from the pipeline's files."""
    if not _IDENTIFIER.fullmatch(name):
        raise PerennialError(f"{name!r}: a column or table name is lower-case letters, digits and _. Rename it in the SQL.")
    return f"`{name}`"


def table_name(database: str, table: str) -> str:
    """Return the full name of a table in Spark."""
    return f"{CATALOG}.{identifier(database)}.{identifier(table)}"


def days_filter(column: str, days: list[str]) -> Column:
    """Return the condition that a row belongs to one of the days (ISO dates)."""
    return F.expr(f"{column} IN ({', '.join(date_literal(date.fromisoformat(day)) for day in days)})")


def commit(
    rows: DataFrame,
    name: str,
    *,
    replaces: Column,
    partitioned_by: tuple[str, ...],
    partitions: Mapping[str, Partition] | None = None,
) -> None:
    """
    Replace all rows that satisfy `replaces` in one commit, recording `partitions` (by day) in its snapshot.

    Two commits of the same day: the later one replaces the earlier (Iceberg applies the filter again when it lost the race),
    so nothing is doubled.
    """
    spark = rows.sparkSession
    old = _schema(spark, name)
    if old is None:
        writer = _described(rows, name, partitions).using("iceberg")
        for key, value in TABLE_PROPERTIES.items():
            writer = writer.tableProperty(key, value)
        if partitioned_by:
            writer = writer.partitionedBy(*[F.col(column) for column in partitioned_by])
        try:
            writer.create()
            return
        except AnalysisException as error:
            old = _schema(spark, name)
            if old is None:
                raise
            log.info("%s: another job created it first (%s)", name, error.getCondition())
    _evolve(spark, name, old, rows)
    _described(rows, name, partitions).overwrite(replaces)


def _schema(spark: SparkSession, name: str) -> T.StructType | None:
    """Return the schema of a table; None when there is none. Asking both at once reads the table's metadata once."""
    try:
        return spark.table(name).schema
    except AnalysisException as error:
        if error.getCondition() != "TABLE_OR_VIEW_NOT_FOUND":
            raise
        return None


def read_table(spark: SparkSession, name: str, snapshot_id: int | None = None) -> DataFrame:
    """
    Return the rows of a table, of one of its snapshots if asked.

    Each date is a file of tens of kilobytes. Iceberg takes four megabytes for what a file costs to open and makes a task for every
    four of them, 26 for a hundred dates: that is right where tasks are many and stores are slow, and dear with a core or two.
    """
    reader = spark.read.option("file-open-cost", str(FILE_OPEN_COST))
    return (reader if snapshot_id is None else reader.option("versionAsOf", str(snapshot_id))).table(name)


def withdraw(spark: SparkSession, name: str, days: list[str]) -> None:
    """Take away the partitions of these days in one commit that says so."""
    nothing = spark.table(name).where(F.lit(False))
    _described(nothing, name, dict.fromkeys(days, WITHDRAWN)).overwrite(days_filter("date", days))
    log.info("%s: withdrew %s", name, ", ".join(days))


def _described(rows: DataFrame, name: str, partitions: Mapping[str, Partition] | None) -> Any:
    writer = rows.writeTo(name)
    for day, partition in (partitions or {}).items():
        key, value = partition.property(day)
        writer = writer.option(f"snapshot-property.{key}", value)
    return writer


def _evolve(spark: SparkSession, name: str, schema: T.StructType, rows: DataFrame) -> None:
    """
    Give the table exactly the columns of `rows`.

    A column of another type is dropped and added anew: its old values belong to partitions whose keys are stale by the same
    change, and snapshots taken before keep their own schema.
    """
    old = {field.name: field.dataType for field in schema}
    new = {field.name: field.dataType for field in rows.schema}
    gone = [column for column, kind in old.items() if new.get(column) != kind]
    added = [column for column, kind in new.items() if old.get(column) != kind]
    for column in gone:
        spark.sql(f"ALTER TABLE {name} DROP COLUMN {identifier(column)}")
    for column in added:
        spark.sql(f"ALTER TABLE {name} ADD COLUMN {identifier(column)} {new[column].simpleString()}")
    if gone or added:
        log.info("%s: dropped columns %s, added columns %s", name, gone or "none", added or "none")


class Stopwatch:
    """Seconds since it was made, for the log."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds that have passed."""
        return time.monotonic() - self._start
