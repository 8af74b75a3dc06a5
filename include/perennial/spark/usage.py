"""The use that a query makes of Spark, as Spark's status shows it while the query runs: executors report every ten seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql import SparkSession

from perennial.spark.java import JavaObject

_STEP = re.compile(r"^SQLPlanMetric\((number of output rows|shuffle bytes written|spill size),(\d+),\w+\)$", re.MULTILINE)
_VALUE = re.compile(r"^(\d+) -> (?:total \(.*\n)?([\d,.]+)(?: (\w*B)\b)?", re.MULTILINE)
_BYTES = {unit: 1024**power for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))}


@dataclass(frozen=True, slots=True)
class Usage:
    """
    The use of one query.

    :param rows: the most rows that a step of it has produced: a scan, a join, a function such as explode
    :param size: bytes that its steps have passed on and spilled
    :param waits: whether it has a job, but other work or the cluster gives it no core
    """

    rows: int
    size: int
    waits: bool


def measure(spark: SparkSession, group: str) -> Usage:
    """Return the use of Spark by the jobs of a group that run now, and by the earlier jobs of the same actions."""
    context = spark.sparkContext._jsc.sc()
    store = context.statusStore()
    found = [store.jobWithAssociatedSql(job) for job in spark.sparkContext.statusTracker().getJobIdsForGroup(group)]
    running = [(pair._1(), pair._2()) for pair in found if pair._1().status().toString() == "RUNNING"]
    executions = {execution.get() for _, execution in running if execution.isDefined()}
    steps = [step for execution in executions for step in _steps(spark, execution)]
    return Usage(
        rows=max((value for metric, value in steps if metric == "number of output rows"), default=0),
        size=sum(value for metric, value in steps if metric != "number of output rows"),
        waits=bool(running) and not any(job.numActiveTasks() for job, _ in running) and _is_busy(context),
    )


def _steps(spark: SparkSession, execution: int) -> list[tuple[str, int]]:
    """Return the metrics of an execution's steps. Spark's metrics of stages count a task only when it has ended."""
    status = spark._jsparkSession.sharedState().statusStore()
    data = status.execution(execution)
    if data.isEmpty():
        return []
    # Two calls through the bridge, in place of several for each of some hundred metrics.
    names = {number: name for name, number in _STEP.findall(data.get().metrics().mkString("\n"))}
    values = _VALUE.findall(status.executionMetrics(execution).mkString("\n"))
    return [(names[number], _read(value, unit)) for number, value, unit in values if number in names]


def _read(value: str, unit: str) -> int:
    return int(float(value.replace(",", "")) * _BYTES[unit or "B"])


def _is_busy(context: JavaObject) -> bool:
    """Return whether cores work for others, or the cluster has given the job no executor yet."""
    executors = context.statusTracker().getExecutorInfos()
    workers = len(executors) if context.isLocal() else len(executors) - 1  # the driver is one of them
    return workers == 0 or any(executor.numRunningTasks() for executor in executors)
