"""Finds a step of a query of which one task holds most rows: more cores do not make it faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from pyspark.sql import SparkSession

from perennial.spark.java import JavaObject

MIN_TASKS = 8
"""The number of tasks among which a trial of many rows divides them. Of two, one always holds half."""

MIN_ROWS = 10 * MIN_TASKS
"""The number of rows of a step below which its division says nothing."""

PAGE = "docs/how-to/big-days.md"


@contextmanager
def tag_jobs(spark: SparkSession) -> Iterator[str]:
    """Give the Spark jobs of the block a tag, and yield it."""
    tag = f"perennial-{uuid4()}"
    spark.sparkContext.addJobTag(tag)
    try:
        yield tag
    finally:
        spark.sparkContext.removeJobTag(tag)


def describe_skew(spark: SparkSession, tag: str, min_rows: int) -> list[str]:
    """
    Return a warning if one task held more than half of the rows that a step of the jobs with a tag shuffled.

    :param min_rows: the number of rows of a step from which it matters
    """
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    steps = [(most, rows) for rows, most in _shuffled(spark, context, tag) if rows >= min_rows and 2 * most > rows]
    if not steps:
        return []
    most, rows = max(steps)
    return [
        f"one task held {most:,} of {rows:,} rows of a step, so more cores do not make the query faster. "
        f"Group before you join, or join and partition by keys with many values ({PAGE})"
    ]


def _shuffled(spark: SparkSession, context: JavaObject, tag: str) -> Iterator[tuple[int, int]]:
    """Yield for each stage the rows that its tasks read from a shuffle, and the most that one of them read."""
    store, tracker = context.statusStore(), spark.sparkContext.statusTracker()
    quantiles = spark.sparkContext._gateway.new_array(spark.sparkContext._jvm.double, 1)
    quantiles[0] = 1.0
    found = [job for number in context.statusTracker().getJobIdsForTag(tag) if (job := tracker.getJobInfo(number)) is not None]
    began = min(store.job(job.jobId).submissionTime().get().getTime() for job in found)
    for number in sorted({stage for job in found for stage in job.stageIds}):
        stage = store.lastStageAttempt(number)
        # The stages that read the drops belong to these jobs too: they ran before, and their rows are kept.
        is_own = stage.submissionTime().isDefined() and stage.submissionTime().get().getTime() >= began
        if is_own and stage.shuffleReadRecords():
            tasks = store.taskSummary(number, stage.attemptId(), quantiles)
            yield stage.shuffleReadRecords(), int(tasks.get().shuffleReadMetrics().readRecords().apply(0))
