"""A date of many rows: many tasks read, check and write them, and no task, row or driver holds the date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.files import CORRUPT, read_files
from perennial.clean.job_file import DropToClean, FileToClean, TableToClean
from perennial.clean.rules import DUPLICATE_KEY, RULE, check_cells, key_text, name_rule, row_text, rule_names
from perennial.clean.shape import Judged, first_examples
from perennial.clean.verdict import Count, judge
from perennial.errors import PerennialError
from perennial.lake.days import REFERENCE
from perennial.spark.size import ROWS_A_TASK, count_tasks
from perennial.spark.sql import local_rows, rows_from

_MAX_BROADCAST_ROWS = 500_000
"""The number of keys or places of rows that each task can hold; more of them are shuffled like all rows."""

FILES = T.StructType(
    [
        T.StructField("object", T.StringType(), False),
        T.StructField("number", T.IntegerType(), False),
        T.StructField("unclear", T.StringType(), False),
    ]
)


@dataclass(frozen=True, slots=True)
class _Split:
    """
    The rows of a file that one task reads.

    :param number: number of the file, in order of the names
    :param block: the place in the file where the split begins
    :param first: the smallest `read_order`; that of each row is one more than that of the row before
    """

    number: int
    block: int
    rows: int
    first: int


def judge_big_day(spark: SparkSession, table: TableToClean) -> Judged:
    """
    Judge the only day of a table in steps that its tasks share.

    Each row is read, typed and checked in one place, and only its values are kept, with the order in which it was read.
    Duplicates are found by a hash of their keys, and then exactly among the few rows whose hash occurs twice.
    Only a row for quarantine needs its position: it follows from the number of rows in the splits before its own.
    """
    ((day, drop),) = table.days.items()
    columns = dict(table.columns)
    files = sorted(drop.files, key=lambda file: file.name)
    cells = _read_cells(spark, table, drop, files)
    missing = [name for name, place in table.header.items() if place not in drop.header]
    checked = check_cells(cells, columns, table.dialect.decimal, missing)
    is_good = F.col(RULE).isNull()
    held = checked.select(
        "number", "block", "read_order", RULE, "broken_text",
        F.when(~is_good, row_text(columns)).alias("row"),
        F.when(is_good, F.xxhash64(*[f"value_{name}" for name in table.key])).alias("key_hash"),
        *[f"value_{name}" for name in columns],
    )  # fmt: skip
    if any(file.rows > ROWS_A_TASK and not _can_divide(file, table) for file in files):
        rows = sum(file.rows for file in files)
        held = held.repartition(count_tasks(rows, spark.sparkContext.defaultParallelism), "read_order")
    held = held.persist()
    found = held.groupBy("number", "block", RULE).agg(F.count(F.lit(1)).alias("n"), F.min("read_order").alias("first")).collect()
    doubled = _find_doubled(held.where(RULE + " IS NULL"), table.key)
    twice = 0 if doubled is None else doubled.count()
    sent = None if doubled is None else _broadcast_few(doubled, twice)
    quarantined, refusal = judge(_count_rules(found, table, twice), sum(file.rows for file in files), table.max_quarantine_share)
    broken = _with_position(_broken_rows(held, cells, sent, table), _starts(spark, _merge(found), files), day)
    temporary = [held, *([doubled] if doubled is not None else [])]
    if refusal is not None:
        return Judged({}, {day: replace(refusal, examples=first_examples(broken))}, broken, held, temporary)
    if doubled is not None:
        broken = broken.persist()
        temporary.append(broken)
        if (count := broken.count()) != quarantined:
            # The files are stored under their digests, so this is a fault of the store or of Spark.
            raise PerennialError(
                f"{table.table}, {day}: {quarantined} rows to quarantine, but reading their texts again gave {count}. "
                "Run clean again."
            )
    good = held.where(RULE + " IS NULL")
    if sent is not None:
        good = good.join(sent, ["number", "read_order"], "left_anti")
    dated = [] if day == REFERENCE else [F.lit(day).cast("date").alias("date")]
    values = good.select(*dated, *[F.col(f"value_{name}").alias(name) for name in columns])
    return Judged({day: quarantined}, {}, broken, values, temporary)


def _can_divide(file: FileToClean, table: TableToClean) -> bool:
    """Return whether several tasks can share a file. In UTF-16, the end of a line may begin at any byte."""
    return file.by_lines and not file.uri.endswith(".gz") and table.dialect.encoding != "utf-16"


def _read_cells(spark: SparkSession, table: TableToClean, drop: DropToClean, files: Sequence[FileToClean]) -> DataFrame:
    """Return the cells of a drop, with the number of their file and whether programs read the row differently (CORRUPT)."""
    alike: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for file in files:
        alike[file.line_end, _can_divide(file, table)].append(file.uri)
    reads = [
        read_files(spark, uris, drop.header, line_end, table.dialect, table.header, by_lines=by_lines)
        for (line_end, by_lines), uris in sorted(alike.items())
    ]
    numbered = [(file.uri.rpartition("/")[2], number, ",".join(map(str, file.unclear))) for number, file in enumerate(files)]
    landed = F.broadcast(local_rows(spark, numbered, FILES))
    rows = reduce(DataFrame.unionAll, reads).join(landed, "object").drop("object")
    if not any(file.unclear for file in files):
        return rows
    found = rows.groupBy("number", "block").agg(F.count(F.lit(1)).alias("n"), F.min("read_order").alias("first")).collect()
    placed = rows.join(_starts(spark, _merge(found), files), ["number", "block"])
    is_unclear = F.array_contains(F.split("unclear", ","), (F.col("read_order") - F.col("start")).cast("string"))
    whole = F.concat_ws(table.dialect.delimiter, *[f"cell_{name}" for name, _ in table.columns])
    corrupt = F.coalesce(f"cell_{CORRUPT}", F.when(is_unclear, whole))
    return placed.withColumn(f"cell_{CORRUPT}", corrupt).drop("start", "file")


def _find_doubled(good: DataFrame, key: Sequence[str]) -> DataFrame | None:
    """Return `number` and `read_order` of the rows whose key an earlier row has, or None if there are none."""
    suspects = good.groupBy("key_hash").agg(F.count(F.lit(1)).alias("n")).where("n > 1").persist()
    try:
        keys, rows = suspects.agg(F.count(F.lit(1)), F.coalesce(F.sum("n"), F.lit(0))).collect()[0]
        if keys == 0:
            return None
        values = [f"value_{name}" for name in key]
        hashes = _broadcast_few(suspects.select("key_hash"), keys)
        few = good.join(hashes, "key_hash").select("number", "block", "read_order", *values)
        first = few.groupBy(*values).agg(F.min(F.struct("number", "block", "read_order")).alias("first"))
        # Spark applies this anti-join to all good rows first. Broadcasting the first rows avoids a shuffle of all good rows.
        first = _broadcast_few(first.select("first.number", "first.read_order"), rows)
        doubled = few.join(first, ["number", "read_order"], "left_anti")
        found = doubled.select("number", "read_order").persist()
        if found.count() > 0:
            return found
        found.unpersist()
        return None
    finally:
        suspects.unpersist()


def _broadcast_few(rows: DataFrame, count: int) -> DataFrame:
    """Return rows that a join sends to all tasks if they are few. Spark does not know how many a grouping leaves."""
    return F.broadcast(rows) if count <= _MAX_BROADCAST_ROWS else rows


def _count_rules(found: Iterable[Row], table: TableToClean, twice: int) -> list[Count]:
    names = [name for name, _ in table.columns]
    counts = [Count(None, None, -twice)]
    for row in found:
        column, rule = (None, None) if row[RULE] is None else name_rule(row[RULE], names, table.key)
        counts.append(Count(column, rule, row["n"]))
    if twice:
        counts.append(Count(*name_rule(DUPLICATE_KEY, names, table.key), twice))
    return counts


def _merge(found: Iterable[Row]) -> list[_Split]:
    """Return the splits in order of file and place, each with the sum of its counts."""
    splits: dict[tuple[int, int], _Split] = {}
    for row in found:
        place = row["number"], row["block"]
        known = splits.get(place, _Split(*place, 0, row["first"]))
        splits[place] = _Split(*place, known.rows + row["n"], min(known.first, row["first"]))
    return [splits[place] for place in sorted(splits)]


def _starts(spark: SparkSession, splits: Sequence[_Split], files: Sequence[FileToClean]) -> DataFrame:
    """Return for each split the number that `read_order` less the position of a row is in all of its rows."""
    before: dict[int, int] = defaultdict(int)
    starts = []
    for split in splits:
        start = split.first - before[split.number] - 1
        starts.append({"number": split.number, "block": split.block, "start": start, "file": files[split.number].name})
        before[split.number] += split.rows
    return F.broadcast(rows_from(spark, starts, "number: int, block: bigint, start: bigint, file: string"))


def _broken_rows(held: DataFrame, cells: DataFrame, doubled: DataFrame | None, table: TableToClean) -> DataFrame:
    """Return the rows for quarantine. Of duplicates, the texts are read again: only the values are kept."""
    columns, place = dict(table.columns), ["number", "block", "read_order"]
    column, rule = rule_names(list(columns), table.key)
    broken = held.where(RULE + " IS NOT NULL").select(
        *place, column.alias("column"), rule.alias("rule"), F.col("broken_text").alias("value"), "row"
    )
    if doubled is None:
        return broken
    again = cells.join(doubled, ["number", "read_order"])
    of_key = [F.lit(", ".join(table.key)), F.lit("duplicate_key"), key_text(columns, table.key)]
    return broken.unionAll(again.select(*place, *of_key, row_text(columns)))


def _with_position(broken: DataFrame, starts: DataFrame, day: str) -> DataFrame:
    """Return the rows for quarantine with their date, file and position."""
    date = F.lit(None if day == REFERENCE else day).cast("date").alias("date")
    position = (F.col("read_order") - F.col("start")).alias("position")
    return broken.join(starts, ["number", "block"]).select(date, "file", position, "column", "rule", "value", "row")
