"""Reads raw drops: each row has its date, file and position, typed cells, and the first rule that it breaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.files import CORRUPT, read_files
from perennial.clean.job_file import Rules, TableToClean
from perennial.clean.rules import DUPLICATE_KEY, RULE, check_cells, key_text, row_text, rule_names
from perennial.lake.days import REFERENCE
from perennial.spark.sql import local_rows

FILES = T.StructType(
    [
        T.StructField("object", T.StringType(), False),
        T.StructField("day", T.StringType(), True),
        T.StructField("file", T.StringType(), False),
        T.StructField("unclear", T.StringType(), False),
    ]
)


def read_rows(spark: SparkSession, table: TableToClean) -> DataFrame:
    """
    Return all rows of a table's drops: date, file, position, row (as JSON) and broken (column, rule, value), typed columns.

    `row` and `broken` are null in a row that breaks no rule.

    Files with the same header and line ends are read in one pass.
    Two dates may have landed the same bytes, which are stored once: the join with the list of files gives each date its rows.
    All rows of a date end in one task, and therefore in one file of the table.
    """
    columns = dict(table.columns)
    alike: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for drop in table.days.values():
        for file in drop.files:
            alike[tuple(drop.header), file.line_end].append(file.uri)
    files = [
        (file.uri.rpartition("/")[2], None if day == REFERENCE else day, file.name, ",".join(map(str, file.unclear)))
        for day, drop in table.days.items()
        for file in drop.files
    ]
    read = reduce(
        DataFrame.unionAll,
        [
            read_files(spark, uris, header, line_end, table.dialect, table.header)
            for (header, line_end), uris in sorted(alike.items())
        ],
    )
    landed = F.broadcast(local_rows(spark, files, FILES))
    dated = read.join(landed, "object").withColumn("date", F.col("day").cast("date")).repartition("date")
    position = F.row_number().over(Window.partitionBy("date", "file").orderBy("read_order")).cast("bigint")
    numbered = dated.withColumn("position", position)
    if any(file.unclear for drop in table.days.values() for file in drop.files):
        is_unclear = F.array_contains(F.split("unclear", ","), F.col("position").cast("string"))
        whole = F.concat_ws(table.dialect.delimiter, *[f"cell_{name}" for name in columns])
        numbered = numbered.withColumn(f"cell_{CORRUPT}", F.coalesce(f"cell_{CORRUPT}", F.when(is_unclear, whole)))
    missing = {name for name, place in table.header.items() for header, _ in alike if place not in header}
    return _check_rows(numbered, columns, table.dialect.decimal, table.key, missing)


def _check_rows(
    rows: DataFrame, columns: Mapping[str, Rules], decimal: str, key: Sequence[str], missing: Collection[str]
) -> DataFrame:
    """
    Add the typed columns and the first broken rule. Of several good rows with the same key, the first by file and position stays.

    :param missing: columns that some drops lack
    """
    checked = check_cells(rows, columns, decimal, missing)
    same_key = Window.partitionBy("date", F.col(RULE).isNull(), *[f"value_{name}" for name in key])
    is_duplicate = F.col(RULE).isNull() & (F.row_number().over(same_key.orderBy("file", "position")) > 1)
    ruled = checked.withColumn("is_duplicate", is_duplicate).withColumn(
        RULE, F.when(F.col("is_duplicate"), F.lit(DUPLICATE_KEY)).otherwise(F.col(RULE))
    )
    value = F.when(F.col("is_duplicate"), key_text(columns, key)).otherwise(F.col("broken_text"))
    column, rule = rule_names(list(columns), key)
    broken = F.struct(column.alias("column"), rule.alias("rule"), value.alias("value"))
    is_broken = F.col(RULE).isNotNull()
    return ruled.select(
        "date",
        "file",
        "position",
        F.when(is_broken, row_text(columns)).alias("row"),
        F.when(is_broken, broken).alias("broken"),
        *[F.col(f"value_{name}") for name in columns],
    )
