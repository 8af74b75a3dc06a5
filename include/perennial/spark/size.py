"""The size of a Spark job: its number of rows, and the settings that follow from it."""

from __future__ import annotations

ROWS = "spark.perennial.job.rows"
"""Setting of a session: the number of rows that the job reads. The stack's spark-submit chooses the JVM's flags by it."""

ROWS_A_TASK = 500_000

LARGE_METHODS = "-XX:-DontCompileHugeMethods"
"""Java's flag to compile methods of more than 8,000 bytes too."""


def size_conf(rows: int) -> dict[str, str]:
    """Return the Spark configuration of a job that reads this number of rows."""
    return {ROWS: str(rows)}


def count_tasks(rows: int, cores: int) -> int:
    """Return the number of tasks after a shuffle: one for each core, and more if a task would get too many rows."""
    return max(cores, -(-rows // ROWS_A_TASK))
