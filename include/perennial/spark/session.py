"""The settings of a session that follow from the number of rows of its job."""

from __future__ import annotations

from pyspark.sql import SparkSession

from perennial.spark.java import jvm
from perennial.spark.size import LARGE_METHODS, ROWS, ROWS_A_TASK, count_tasks

MAX_METHOD_BYTES = 65_535
"""The limit of a method in Java's class files."""


def size_session(spark: SparkSession) -> None:
    """Set what a row costs and how many tasks follow a shuffle; a job with the rows of one task keeps the session's settings."""
    rows = int(spark.conf.get(ROWS, "0") or 0)
    if rows <= ROWS_A_TASK:
        return
    spark.conf.set("spark.sql.shuffle.partitions", str(count_tasks(rows, spark.sparkContext.defaultParallelism)))
    # A query's own budget of minutes ends it; Spark would end a job whose broadcast rows take five minutes to compute.
    spark.conf.set("spark.sql.broadcastTimeout", "-1")
    # To compress kept rows costs more than to read them, and rows that do not fit into memory go to disk.
    spark.conf.set("spark.sql.inMemoryColumnarStorage.compressed", "false")
    # A contract of some twenty columns makes a method of more than 8,000 bytes. Spark then computes column by column, which
    # costs twice as much, unless Java compiles the method.
    if LARGE_METHODS in jvm(spark).java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments():
        spark.conf.set("spark.sql.codegen.hugeMethodLimit", str(MAX_METHOD_BYTES))
