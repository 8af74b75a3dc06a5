"""Storing the result of a query: its days, checked, digested and committed at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from perennial.errors import RefusedError
from perennial.lake.digest import Content, empty_content, partition_contents
from perennial.lake.spark_tables import Stopwatch, commit, days_filter, table_name
from perennial.lake.tables import Partition

log = logging.getLogger("perennial.spark")


def store_days(
    rows: DataFrame,
    *,
    file: str,
    database: str,
    table: str,
    day_column: str,
    keys: Mapping[str, str],
    unique: Sequence[str] = (),
) -> None:
    """
    Replace the partitions of `keys` (day to key) by `rows` in one commit; days without rows become empty.

    :param file: where the rows come from, for errors
    :param unique: columns that name a row within its day; rows that share them are refused
    """
    watch = Stopwatch()
    rows = (rows.coalesce(1) if len(keys) == 1 else rows.repartition(day_column)).persist()
    contents = partition_contents(rows, day_column, unique)
    foreign = sorted(str(day) for day in set(contents) - set(keys))
    if foreign:
        raise RefusedError(
            f"{file}: it yields rows whose {day_column} was not asked for", foreign, f"Take {day_column} from the view dates."
        )
    _refuse_doubled(rows, file, day_column, unique, contents)
    empty = empty_content(rows.schema)
    partitions = {day: Partition(key, *_facts(contents.get(day, empty))) for day, key in keys.items()}
    commit(
        rows,
        table_name(database, table),
        replaces=days_filter(day_column, sorted(keys)),
        partitioned_by=(day_column,),
        partitions=partitions,
    )
    rows.unpersist()
    total = sum(partition.rows for partition in partitions.values())
    log.info("%s: %s dates, %s rows, %.1f s", table, len(keys), f"{total:,}", watch.seconds)


def _facts(content: Content) -> tuple[str, int]:
    return content.digest, content.rows


def _refuse_doubled(rows: DataFrame, file: str, day_column: str, unique: Sequence[str], contents: Mapping[str, Content]) -> None:
    doubled = sorted(day for day, content in contents.items() if content.keys is not None and content.keys < content.rows)
    if not doubled:
        return
    named = [F.coalesce(F.col(name).cast("string"), F.lit("null")) for name in unique]
    found = (
        rows.where(days_filter(day_column, doubled[:1]))
        .groupBy(F.concat_ws(", ", *named).alias("key"))
        .count()
        .where("count > 1")
        .orderBy("key")
        .limit(5)
    )
    raise RefusedError(
        f"{file}: several rows of one ({', '.join(unique)}) in {len(doubled)} of {len(contents)} dates",
        [f"{doubled[0]}: {row['key']} stands there {row['count']} times" for row in found.collect()],
        "Each may stand there once a date: aggregate, or add a column to the key in pipeline.yaml.",
    )
