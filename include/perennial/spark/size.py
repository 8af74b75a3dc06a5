"""The size of a Spark job: its number of rows, and the settings that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the plan of a job is made without Spark
    from pyspark.sql import SparkSession

ROWS = "spark.perennial.job.rows"
"""Setting of a session: the number of rows that the job reads. The stack's spark-submit chooses the JVM's flags by it."""

ROWS_A_TASK = 500_000


def size_conf(rows: int) -> dict[str, str]:
    """Return the Spark configuration of a job that reads this number of rows."""
    return {ROWS: str(rows)}


def count_tasks(rows: int, cores: int) -> int:
    """Return the number of tasks after a shuffle: one for each core, and more if a task would get too many rows."""
    return max(cores, -(-rows // ROWS_A_TASK))


def size_shuffles(spark: SparkSession) -> None:
    """Set the number of tasks after a shuffle; a job with the rows of one task keeps the session's setting."""
    rows = int(spark.conf.get(ROWS, "0") or 0)
    if rows > ROWS_A_TASK:
        spark.conf.set("spark.sql.shuffle.partitions", str(count_tasks(rows, spark.sparkContext.defaultParallelism)))
