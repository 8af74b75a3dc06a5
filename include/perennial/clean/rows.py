"""Reading raw drops: every row with its date, file and position, typed by the contract, with the first rule it breaks."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.cells import broken, broken_rule, present, typed
from perennial.lake.spark_sql import local_rows
from perennial.lake.spark_tables import REFERENCE

_CORRUPT = "__corrupt"
FILES = T.StructType(
    [
        T.StructField("object", T.StringType(), False),
        T.StructField("day", T.StringType(), True),
        T.StructField("file", T.StringType(), False),
    ]
)


def read_rows(spark: SparkSession, table: dict[str, Any]) -> DataFrame:
    """
    Return all rows of a table's drops: date, file, position, row (as JSON), broken (column, rule, value) or null, typed columns.

    All dates are read in one pass. Two dates may have landed the same bytes, which are stored once: the join with the list of
    files gives each date its rows. A date's rows end in one task, and so in one file of the table.
    """
    columns: dict[str, Any] = dict(table["columns"])
    files = [
        (file["uri"].rpartition("/")[2], None if day == REFERENCE else day, file["name"])
        for day, drop in table["days"].items()
        for file in drop["files"]
    ]
    text = T.StructType([T.StructField(name, T.StringType()) for name in (*columns, _CORRUPT)])
    raw = spark.read.csv(
        sorted({file["uri"] for drop in table["days"].values() for file in drop["files"]}),
        schema=text,
        header=True,
        enforceSchema=False,
        multiLine=True,
        escape='"',
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=_CORRUPT,
    )
    read = raw.select(
        F.substring_index("_metadata.file_path", "/", -1).alias("object"),
        # Increases in the order of reading within a file: a multi-line file is read by one task, from its beginning.
        F.monotonically_increasing_id().alias("read_order"),
        *[F.col(name).alias(f"cell_{name}") for name in (*columns, _CORRUPT)],
    )
    landed = F.broadcast(local_rows(spark, files, FILES))
    dated = read.join(landed, "object").withColumn("date", F.col("day").cast("date")).repartition("date")
    position = F.row_number().over(Window.partitionBy("date", "file").orderBy("read_order")).cast("bigint")
    return _checked(dated.withColumn("position", position), columns, table["key"])


def _checked(rows: DataFrame, columns: dict[str, Any], key: list[str]) -> DataFrame:
    """Add the typed columns and the first broken rule; among good rows of one key the first by file and position stays."""
    cells = {name: present(F.col(f"cell_{name}"), spec["null_text"]) for name, spec in columns.items()}
    values = rows.select(
        "date",
        "file",
        "position",
        F.col(f"cell_{_CORRUPT}").alias(_CORRUPT),
        *[cell.alias(f"text_{name}") for name, cell in cells.items()],
        *[typed(columns[name]["type"], cell).alias(f"value_{name}") for name, cell in cells.items()],
        F.to_json(F.struct(*[F.col(f"cell_{name}").alias(name) for name in columns]), {"ignoreNullFields": "false"}).alias("row"),
    )
    rules = [
        F.when(F.col(_CORRUPT).isNotNull(), broken("", "cells", F.col(_CORRUPT))),
        *[broken_rule(name, spec, F.col(f"text_{name}"), F.col(f"value_{name}")) for name, spec in columns.items()],
    ]
    ruled = values.withColumn("rule", F.coalesce(*rules))
    same_key = Window.partitionBy("date", F.col("rule").isNull(), *[f"value_{name}" for name in key])
    doubled = F.col("rule").isNull() & (F.row_number().over(same_key.orderBy("file", "position")) > 1)
    key_text = F.concat_ws(", ", *[F.coalesce(F.col(f"text_{name}"), F.lit("null")) for name in key])
    return ruled.select(
        "date",
        "file",
        "position",
        "row",
        F.when(doubled, broken(", ".join(key), "duplicate_key", key_text)).otherwise(F.col("rule")).alias("broken"),
        *[F.col(f"value_{name}") for name in columns],
    )
