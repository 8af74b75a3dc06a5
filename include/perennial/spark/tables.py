"""Writing Iceberg tables: one commit for all days of a job, which says what each day's partition now holds."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.readwriter import DataFrameWriterV2

from perennial.errors import LostRaceError, PerennialError
from perennial.lake.tables import WITHDRAWN, Partition
from perennial.spark.columns import change_columns
from perennial.spark.conf import CATALOG
from perennial.spark.sql import date_literal

log = logging.getLogger("perennial.spark")
REFERENCE = "reference"
FIRST_COLUMNS = 0
"""The number that Iceberg gives the columns of a table that is created."""

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,127}")

CHANGED_COLUMNS = frozenset({"INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_FIND_DATA", "INCOMPATIBLE_DATA_FOR_TABLE.EXTRA_COLUMNS"})
"""Spark's names for rows that lack a column of their table, or have one more: just before they fitted."""

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


def days_filter(column: str, days: Sequence[str]) -> Column:
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

    The table gets exactly the columns of `rows` first, in a commit of its own. A kill in between leaves the other dates without a
    key that holds, so they are made again when they are needed.

    Two commits of the same day: the later one replaces the earlier (Iceberg applies the filter again when it lost the race),
    so nothing is doubled.
    """
    columns = change_columns(name, rows, partitioned_by)
    if columns is None:
        try:
            _whole(_described(rows, name, partitions, FIRST_COLUMNS), partitioned_by).create()
            return
        except AnalysisException as error:
            columns = change_columns(name, rows, partitioned_by)
            if columns is None:
                raise
            log.info("%s: another job created it first (%s)", name, error.getCondition())
    if columns.number is None:
        _whole(_described(rows, name, partitions), partitioned_by).createOrReplace()
        return
    try:
        _described(rows, name, partitions, columns.number).overwrite(replaces)
    except AnalysisException as error:
        if error.getCondition() not in CHANGED_COLUMNS:
            raise
        raise LostRaceError(
            f"{name}: another job changed its columns while rows were written. Two versions of the pipeline run at once: "
            "run it again when the other has ended."
        ) from error


def _whole(writer: DataFrameWriterV2, partitioned_by: tuple[str, ...]) -> DataFrameWriterV2:
    """Return a writer of a table as a whole."""
    writer = writer.using("iceberg")
    for key, value in TABLE_PROPERTIES.items():
        writer = writer.tableProperty(key, value)
    return writer.partitionedBy(*[F.col(column) for column in partitioned_by]) if partitioned_by else writer


def read_table(spark: SparkSession, name: str, snapshot_id: int | None = None) -> DataFrame:
    """
    Return the rows of a table, of one of its snapshots if asked.

    Each date is a file of tens of kilobytes. Iceberg takes four megabytes for what a file costs to open and makes a task for every
    four of them, 26 for a hundred dates: that is right where tasks are many and stores are slow, and dear with a core or two.
    """
    reader = spark.read.option("file-open-cost", str(FILE_OPEN_COST))
    return (reader if snapshot_id is None else reader.option("versionAsOf", str(snapshot_id))).table(name)


def withdraw(spark: SparkSession, name: str, days: Sequence[str]) -> None:
    """Take away the partitions of these days in one commit that says so."""
    nothing = spark.table(name).where(F.lit(False))
    _described(nothing, name, dict.fromkeys(days, WITHDRAWN)).overwrite(days_filter("date", days))
    log.info("%s: withdrew %s", name, ", ".join(days))


def _described(
    rows: DataFrame, name: str, partitions: Mapping[str, Partition] | None, columns: int | None = None
) -> DataFrameWriterV2:
    """Return the writer of a commit that says what it holds, and the number of the columns that its rows have."""
    writer = rows.writeTo(name)
    for day, partition in (partitions or {}).items():
        key, value = replace(partition, schema=columns).property(day)
        writer = writer.option(f"snapshot-property.{key}", value)
    return writer


class Stopwatch:
    """Seconds since it was made, for the log."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds that have passed."""
        return time.monotonic() - self._start
