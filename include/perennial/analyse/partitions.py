"""Storage of a query's result: all its days are checked, digested and committed at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from perennial.analyse.job_file import Query, TableToMake
from perennial.analyse.merged import Merged, merged_numbers
from perennial.analyse.row_rules import NO_CHECKS, Checks, refuse_broken
from perennial.errors import RefusedError
from perennial.lake.sample import SAMPLE
from perennial.lake.tables import Partition, refuse_changed
from perennial.spark.batch_independence import check_batch_independence
from perennial.spark.budget import within_budget
from perennial.spark.digest import Content, empty_content, partition_contents
from perennial.spark.sql import failing_on_rows
from perennial.spark.tables import Stopwatch, commit, days_filter, table_name

log = logging.getLogger("perennial.spark")
EXAMPLES = 5
BOUND = (
    "Bound its reads for each row of the view dates: no further back than training.lookback_days, nothing after the date "
    "(in a lookup and in labels.sql: nothing of as_of or later). If a label depends on later days, see label.known_after_days."
)


def store_days(
    rows: DataFrame,
    item: TableToMake,
    database: str,
    *,
    day_column: str,
    unique: Sequence[str] = (),
    checks: Checks = NO_CHECKS,
    alone: Mapping[str, DataFrame] | None = None,
    is_big: bool = False,
) -> None:
    """
    Replace the partitions of the item's days with `rows` in one commit; days without rows become empty.

    :param unique: columns that identify a row within its day; duplicates are refused
    :param checks: rows that break a rule are refused; the record of a day names the numbers of which values become one
    :param alone: by day, its rows computed alone; the same day in `rows` must be equal
    :param is_big: whether a day may have too many rows for one task; otherwise, the rows of a day are one file of the table
    """
    watch, file, keys = Stopwatch(), item.file, item.days
    sql = item.sql if isinstance(item, Query) else ""
    with within_budget(rows.sparkSession, file), failing_on_rows(file, sql):
        if not is_big:
            rows = rows.coalesce(1) if len(keys) == 1 else rows.repartition(day_column)
        if SAMPLE in rows.columns:
            # A sample of a date is then a prefix of its files, and the statistics of their row groups skip the rest.
            rows = rows.sortWithinPartitions(day_column, SAMPLE)
        rows = rows.persist()  # Spark plans the rows here, and evaluates the constants of the query
        contents = partition_contents(rows, day_column, unique, checks.suspect, is_big=is_big)
    foreign = sorted(str(day) for day in set(contents) - set(keys))
    if foreign:
        raise RefusedError(
            f"{file}: the query returns rows whose {day_column} was not requested",
            foreign,
            f"Take {day_column} from the view dates.",
        )
    merged: Mapping[str, Merged] = {}
    if any(content.marked for content in contents.values()):
        refuse_broken(rows, file, checks.rules, day_column, unique)
        merged = merged_numbers(rows, day_column, checks.numbers)
    if unique and any(content.keys < content.rows for content in contents.values()):
        _refuse_duplicates(rows, file, day_column, unique)
    for day, made in (alone or {}).items():
        check_batch_independence(file, sql, day_column, day, rows, made, BOUND)
    empty = empty_content(rows.schema)
    partitions = {day: _make_partition(key, contents.get(day, empty), merged.get(day, {})) for day, key in keys.items()}
    refuse_changed(item.held, partitions, file)
    commit(
        rows,
        table_name(database, item.table),
        replaces=days_filter(day_column, sorted(keys)),
        partitioned_by=(day_column,),
        partitions=partitions,
    )
    rows.unpersist()
    total = sum(partition.rows for partition in partitions.values())
    log.info("%s: %s dates, %s rows, %.1f s", item.table, len(keys), f"{total:,}", watch.seconds)


def _make_partition(key: str, content: Content, merged: Merged) -> Partition:
    return Partition(key, content.digest, content.rows, merged=merged)


def _refuse_duplicates(rows: DataFrame, file: str, day_column: str, unique: Sequence[str]) -> None:
    """Refuse rows that share a key within a day, if any: duplicates in a lookup would multiply the joined features."""
    duplicates = find_duplicates(rows, day_column, unique)
    if not duplicates:
        return
    raise RefusedError(
        f"{file}: several rows with the same ({', '.join(unique)}) on a date",
        duplicates,
        "A key may occur once on a date. Aggregate, or add a column to the key in pipeline.yaml.",
    )


def find_duplicates(rows: DataFrame, day_column: str, unique: Sequence[str]) -> list[str]:
    """Return some keys that several rows of a day share, with their number."""
    duplicates = rows.groupBy(day_column, *unique).count().where(F.col("count") > 1).limit(EXAMPLES).collect()
    return sorted(
        f"{row[day_column]}: {', '.join(str(row[name]) for name in unique)}, {row['count']} times" for row in duplicates
    )
