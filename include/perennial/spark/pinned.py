"""Reads days of a table under the fingerprints that a plan expects, at one snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial

from pyspark.sql import DataFrame, SparkSession

from perennial.errors import LostRaceError
from perennial.lake.tables import PROPERTY, Partition
from perennial.spark.columns import load_table
from perennial.spark.java import JavaObject, jvm
from perennial.spark.tables import days_filter, read_table


def read_days(spark: SparkSession, name: str, day_column: str, days: Mapping[str, str]) -> DataFrame:
    """
    Return the rows of some days at the table's present snapshot, if it holds each day under its expected fingerprint.

    :param days: by day (ISO), the expected fingerprint
    :raises LostRaceError: if another job has replaced one of the days since it was planned or computed
    """
    table = load_table(spark, name)
    recorded = {} if table is None else _records(spark, table, days)
    if lost := sorted(day for day, fingerprint in days.items() if day not in recorded or recorded[day] != fingerprint):
        raise LostRaceError(
            f"{name}: another job replaced days that this job joins",
            lost,
            "Two versions of the pipeline are running: run it again when the other one has ended.",
        )
    snapshot = None if table is None or table.currentSnapshot() is None else table.currentSnapshot().snapshotId()
    return read_table(spark, name, snapshot).where(days_filter(day_column, sorted(days)))


def _records(spark: SparkSession, table: JavaObject, days: Mapping[str, str]) -> dict[str, str]:
    """
    Return the fingerprints that a table records for these days; it is empty for rows with other columns than the present ones.

    The most recent snapshot that mentions a day wins, as in perennial.lake.tables.
    """
    parser = jvm(spark).org.apache.iceberg.SnapshotParser
    has_present_columns = cache(
        partial(_has_present_columns, table)
    )  # days share few sets of columns, and each takes dozens of calls
    recorded: dict[str, str] = {}
    snapshot = table.currentSnapshot()
    while snapshot is not None and len(recorded) < len(days):
        stored = json.loads(parser.toJson(snapshot))  # one call of the JVM in place of one for each property
        for day in days.keys() - recorded.keys():
            if (text := stored["summary"].get(f"{PROPERTY}{day}")) is not None:
                partition = Partition(**json.loads(text))
                # Commits of earlier versions do not record their columns: they are those of the snapshot itself.
                number = stored.get("schema-id") if partition.schema is None else partition.schema
                recorded[day] = partition.key if has_present_columns(number) else ""
        parent = snapshot.parentId()
        snapshot = None if parent is None else table.snapshot(parent)
    return recorded


def _has_present_columns(table: JavaObject, number: int | None) -> bool:
    """Return whether the columns of this number are those of the table, in the same order."""
    written = table.schemas().get(number)
    return written is not None and _column_ids(written) == _column_ids(table.schema())


def _column_ids(schema: JavaObject) -> list[int]:
    return [column.fieldId() for column in schema.columns()]
