"""Writes Iceberg tables: one commit for all days of a job, which records the content of each day's partition."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.readwriter import DataFrameWriterV2

from perennial.errors import LostRaceError, PerennialError
from perennial.fingerprints.code import refuse_changed_code
from perennial.lake.tables import WITHDRAWN, Partition
from perennial.spark.columns import change_columns, load_table
from perennial.spark.conf import CATALOG
from perennial.spark.sql import date_literal

log = logging.getLogger("perennial.spark")
FIRST_COLUMNS = 0
"""The number that Iceberg gives the columns of a new table."""

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,127}")

CHANGED_COLUMNS = frozenset({"INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_FIND_DATA", "INCOMPATIBLE_DATA_FOR_TABLE.EXTRA_COLUMNS"})
"""
Spark's error classes for rows that lack a column of their table, or have one more.

The columns fitted a moment before, so another job has changed the table.
"""

TABLE_PROPERTIES = {
    "format-version": "2",
    # The rows of a day are already in one task; a shuffle before the write would only cost time.
    "write.distribution-mode": "none",
    # A year of daily commits would otherwise leave tens of megabytes of metadata files.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
    # The smallest part of a file that a reader can skip, or hold.
    "write.parquet.row-group-size-bytes": str(4 * 1024 * 1024),
}

FILE_OPEN_COST = 256 * 1024
"""The cost of opening a file, in bytes read, by which Iceberg divides files among tasks."""


def open_database(spark: SparkSession, database: str) -> None:
    """Create the database of the pipeline's tables if it does not exist."""
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{identifier(database)}")


def identifier(name: str) -> str:
    """Return a name quoted for SQL, or raise if it is not allowed: names come from the pipeline's files."""
    if not _IDENTIFIER.fullmatch(name):
        raise PerennialError(
            f"{name!r} is not allowed: a column or table name has only lower-case letters, digits and _. Rename it in the SQL."
        )
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

    First, a commit of its own gives the table exactly the columns of `rows`. A kill between the two commits leaves the other
    dates without a valid fingerprint, so they are computed again when they are needed.

    If two jobs commit the same day, the later commit replaces the earlier one, so no rows are duplicated:
    Iceberg applies the filter again when it has lost the race.

    :raises PerennialError: a file of the job has changed since the job began, so some of its code may be of another state
    """
    refuse_changed_code()
    columns = change_columns(name, rows, partitioned_by)
    if columns is None:
        try:
            _configure(_write_to(rows, name, partitions, FIRST_COLUMNS), partitioned_by).create()
            return
        except (AnalysisException, Py4JJavaError) as error:  # Spark saw the table, or Iceberg did when it committed
            columns = change_columns(name, rows, partitioned_by)
            if columns is None:
                raise
            log.info("%s: another job created it first (%s)", name, type(error).__name__)
    if columns.number is None:
        _configure(_write_to(rows, name, partitions), partitioned_by).createOrReplace()
        return
    try:
        _write_to(rows, name, partitions, columns.number).overwrite(replaces)
    except AnalysisException as error:
        if error.getCondition() not in CHANGED_COLUMNS:
            raise
        raise LostRaceError(
            f"{name}: another job changed its columns while rows were written. Two versions of the pipeline are running: "
            "run it again when the other one has ended."
        ) from error


def _configure(writer: DataFrameWriterV2, partitioned_by: tuple[str, ...]) -> DataFrameWriterV2:
    """Return a writer that creates or replaces the whole table."""
    writer = writer.using("iceberg")
    for key, value in TABLE_PROPERTIES.items():
        writer = writer.tableProperty(key, value)
    return writer.partitionedBy(*[F.col(column) for column in partitioned_by]) if partitioned_by else writer


def read_table(spark: SparkSession, name: str, snapshot_id: int | None = None, split_bytes: int | None = None) -> DataFrame:
    """
    Return the rows of a table, optionally of one of its snapshots.

    Each date is a file of tens of kilobytes. By default, Iceberg counts four megabytes for opening a file and makes a task
    for every four files, so 26 tasks for a hundred dates. That suits many cores and slow stores, but costs too much
    with one or two cores.

    :param split_bytes: bytes of files that are one task; None: Iceberg's own 128 MB
    """
    reader = spark.read.option("file-open-cost", str(FILE_OPEN_COST))
    if split_bytes is not None:
        reader = reader.option("split-size", str(split_bytes))
    return (reader if snapshot_id is None else reader.option("versionAsOf", str(snapshot_id))).table(name)


def withdraw(spark: SparkSession, name: str, days: Sequence[str]) -> None:
    """Delete the partitions of these days in one commit that records the withdrawal."""
    load_table(spark, name)  # it refuses metadata that leads out of the lake
    no_rows = spark.table(name).where(F.lit(False))
    _write_to(no_rows, name, dict.fromkeys(days, WITHDRAWN)).overwrite(days_filter("date", days))
    log.info("%s: withdrew %s", name, ", ".join(days))


def _write_to(
    rows: DataFrame, name: str, partitions: Mapping[str, Partition] | None, columns: int | None = None
) -> DataFrameWriterV2:
    """Return the writer of a commit that records its partitions, and the number of the columns of its rows."""
    writer = rows.writeTo(name)
    for day, partition in (partitions or {}).items():
        key, value = replace(partition, schema=columns).property(day)
        writer = writer.option(f"snapshot-property.{key}", value)
    # Iceberg's writer has each task sort its rows by partition, unless it may keep the files of several partitions open.
    return writer.option("fanout-enabled", "true") if len(partitions or ()) == 1 else writer


class Stopwatch:
    """The seconds since its creation, for the log."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since the creation of this object."""
        return time.monotonic() - self._start
