"""Changes the columns of an Iceberg table: every change is one commit, on any Hive metastore."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from perennial.errors import LostRaceError, RefusedError
from perennial.lake.boundary import find_classes
from perennial.spark.conf import CATALOG
from perennial.spark.failures import find_refusal
from perennial.spark.java import JavaObject, jvm

log = logging.getLogger("perennial.spark")
ATTEMPTS = 5
SETTING = "hive.metastore.disallow.incompatible.col.type.changes"


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The columns of a table at one moment: number (Iceberg's schema id), names and types in order.

    `number` is None if the whole table must be replaced.
    """

    number: int | None
    types: Mapping[str, T.DataType]


@dataclass(frozen=True, slots=True)
class Change:
    """
    A change of columns. A retyped column is dropped and added again under its name.

    `is_moved` says that the order changes too.
    """

    added: tuple[str, ...]
    dropped: tuple[str, ...]
    retyped: tuple[str, ...]
    is_moved: bool

    def describe(self) -> str:
        """Return the change in a few words."""
        parts = [f"{what} {', '.join(names)}" for what in ("added", "dropped", "retyped") if (names := getattr(self, what))]
        return "; ".join([*parts, *(["another order"] if self.is_moved else [])])


def compare(old: Mapping[str, T.DataType], new: Mapping[str, T.DataType]) -> Change | None:
    """Return the change that turns the columns `old` into exactly `new`, including the order; None if they are equal."""
    retyped = tuple(name for name in new if name in old and old[name] != new[name])
    added = tuple(name for name in new if name not in old)
    dropped = tuple(name for name in old if name not in new)
    # Dropped columns leave no gap, and added columns come last.
    natural = [name for name in old if name in new and name not in retyped] + [n for n in new if n in (*added, *retyped)]
    is_moved = natural != list(new)
    return Change(added, dropped, retyped, is_moved) if added or dropped or retyped or is_moved else None


def change_columns(name: str, rows: DataFrame, partitioned_by: Sequence[str]) -> Columns | None:
    """
    Give a table exactly the columns of `rows`, in order and in one commit, and return them; None if the table does not exist.

    A table that is partitioned by other columns (a reference that became a source) is not changed here:
    the result has `number` None, and the caller replaces the table.

    Earlier snapshots keep the values of a column that is dropped or retyped. Iceberg finds values by a column's number,
    never by its name, so a column that is added again under an old name is null in old rows.
    """
    spark = rows.sparkSession
    # Iceberg has fewer types than Spark. It stores a short integer as a longer one, which is not a change of the column.
    stored = jvm(spark).org.apache.iceberg.spark.SparkSchemaUtil.convert(rows._jdf.schema())
    wanted = _types(spark, stored)
    for _ in range(ATTEMPTS):
        table = load_table(spark, name)
        if table is None:
            return None
        columns = Columns(table.schema().schemaId(), _types(spark, table.schema()))
        if [field.name() for field in table.spec().fields()] != list(partitioned_by):
            if _is_in_hive(spark):
                _forget_columns(spark, table, 0)
            return replace(columns, number=None)
        change = compare(columns.types, wanted)
        if change is None:
            return columns
        try:
            if _is_in_hive(spark) and not _keeps_positions(columns.types, wanted):
                _forget_columns(spark, table, _count_same(list(columns.types.values()), list(wanted.values())))
            _commit(table, change, list(wanted), stored)
        except Py4JJavaError as error:
            if _is_race(error):
                continue  # another job changed the table meanwhile, perhaps in the same way
            if refusal := find_refusal(str(error)):
                raise RefusedError(refusal) from None
            raise _make_refusal(name, change, error) from None
        log.info("%s: its columns change: %s", name, change.describe())
    raise LostRaceError(f"{name}: other jobs changed its columns during {ATTEMPTS} attempts. Run it again when they have ended.")


def load_table(spark: SparkSession, name: str) -> JavaObject | None:
    """Return Iceberg's own view of a table, or None if it does not exist. A table that names a class to load is refused."""
    try:
        table: JavaObject = jvm(spark).org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, name)
    except AnalysisException as error:
        if error.getCondition() not in ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND"):
            raise
        return None
    # Iceberg would create an object of the class. Files elsewhere are LakeFileIO's matter.
    if problems := find_classes(table.properties()):
        raise RefusedError(f"{name}: its metadata names classes to load", problems, "Find out who changed the table's metadata.")
    return table


def _types(spark: SparkSession, schema: JavaObject) -> dict[str, T.DataType]:
    converted = jvm(spark).org.apache.iceberg.spark.SparkSchemaUtil.convert(schema)
    return {field.name: field.dataType for field in T.StructType.fromJson(json.loads(converted.json()))}


def _commit(table: JavaObject, change: Change, order: Sequence[str], stored: JavaObject) -> None:
    update = table.updateSchema()
    for name in (*change.dropped, *change.retyped):
        update.deleteColumn(name)
    for name in order:
        if name in change.added or name in change.retyped:
            update.addColumn(name, stored.findType(name))
    if change.is_moved:
        update.moveFirst(order[0])
        for before, name in pairwise(order):
            update.moveAfter(name, before)
    update.commit()


def _is_in_hive(spark: SparkSession) -> bool:
    return spark.conf.get(f"spark.sql.catalog.{CATALOG}.type", "") == "hive"


def _keeps_positions(old: Mapping[str, T.DataType], new: Mapping[str, T.DataType]) -> bool:
    return all(a == b for a, b in zip(old.values(), new.values(), strict=False))


def _count_same(old: Sequence[T.DataType], new: Sequence[T.DataType]) -> int:
    """Count the leading columns that keep their type."""
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _forget_columns(spark: SparkSession, table: JavaObject, kept: int) -> None:
    """
    Shorten the metastore's own list of the table's columns to the first `kept`, which keep their type and position.

    A Hive metastore compares old and new columns by position and refuses other types.
    That protects files that are read by position.
    Iceberg does not read by position: its columns are in the table's metadata, and the metastore's list is a copy for people.
    The metastore cannot refuse a column that is not in its list, and the next commit writes the full list.
    A kill in between leaves a short list, which no reader of Iceberg uses.
    The metastore accepts the shorter list only if the table's metadata is still the version that we read.
    """
    java = jvm(spark)
    conf = java.org.apache.hadoop.hive.conf.HiveConf(
        spark.sparkContext._jsc.hadoopConfiguration(), java.java.lang.Class.forName("org.apache.hadoop.hive.conf.HiveConf")
    )
    conf.set("hive.metastore.uris", spark.conf.get(f"spark.sql.catalog.{CATALOG}.uri"))
    client = java.org.apache.hadoop.hive.metastore.HiveMetaStoreClient(conf)
    try:
        _, database, plain = str(table.name()).split(".")
        entry = client.getTable(database, plain)
        listed = entry.getSd().getCols()
        entry.getSd().setCols(java.java.util.ArrayList(listed.subList(0, min(kept, listed.size()))))
        context = java.org.apache.hadoop.hive.metastore.api.EnvironmentContext(java.java.util.HashMap())
        for key, value in (
            ("expected_parameter_key", "metadata_location"),
            ("expected_parameter_value", entry.getParameters().get("metadata_location")),
            ("DO_NOT_UPDATE_STATS", "true"),
        ):
            context.putToProperties(key, value)
        client.alter_table_with_environmentContext(database, plain, entry, context)
    finally:
        client.close()


def _is_race(error: Py4JJavaError) -> bool:
    text = str(error)
    return "CommitFailedException" in text or "expected_parameter" in text or "The table has been modified" in text


def _make_refusal(name: str, change: Change, error: Py4JJavaError) -> RefusedError:
    causes = [line.partition(":")[2].strip() for line in str(error).splitlines() if line.startswith(("Caused by:", ": "))]
    cause = re.sub(r"^\w+\(message:", "", next((text for text in reversed(causes) if text), "no reason given"))
    return RefusedError(
        f"{name}: the metastore refuses the change of columns ({change.describe()})",
        [" ".join(cause.split())[:300].rstrip(" :)")],
        f"Set {SETTING} to false in the metastore's hive-site.xml, restart it and run the date again. The table was not changed.",
    )
