"""Estimate the duration of a backfill from earlier ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from perennial.calendar import DataDays

if TYPE_CHECKING:
    from perennial.backfill.airflow_client import AirflowClient, TaskState

SLOWEST_RUNS = 10
"""Number of past runs to read, the longest first: these computed a batch."""
FASTEST_RUNS = 3


def past_seconds(airflow: AirflowClient, dag_id: str, data_days: DataDays) -> tuple[dict[int, float], float]:
    """
    Return the durations of past runs of backfills in seconds: {dates of a batch: run that computed it}, run with nothing to do.

    Without past runs, the first is empty.
    """
    ended = airflow.backfill_runs(dag_id, order_by="-duration", limit=SLOWEST_RUNS)
    led: dict[int, list[float]] = {}
    for run in ended:
        plan = airflow.result(dag_id, run["dag_run_id"], "plan_run")
        if plan and plan["outcome"] == "done":
            dates = len(data_days.dates(date.fromisoformat(plan["date"]), date.fromisoformat(plan["until"])))
            led.setdefault(dates, []).append(_sum_work(airflow.tasks(dag_id, run["dag_run_id"])))
    # Only the shortest few runs: the others waited for the run that computed their batch.
    quick = [run["duration"] for run in airflow.backfill_runs(dag_id, order_by="duration", limit=FASTEST_RUNS)]
    return {dates: median(seconds) for dates, seconds in led.items()}, median(quick) if quick else 0.0


def _sum_work(tasks: Sequence[TaskState]) -> float:
    """Return the seconds of work of a run's tasks in sequence, without the time that it waited for other runs or was paused."""
    longest: dict[str, float] = {}
    for task in tasks:
        if task.task != "plan_run":  # plan_run waits for the run that computes the batch
            longest[task.task] = max(longest.get(task.task, 0.0), task.seconds or 0.0)
    return sum(longest.values())


def expected_seconds(
    led: Mapping[int, float], quick: float, batches: Collection[int], others: int, runs_at_once: int
) -> float | None:
    """
    Return the expected seconds of a backfill, or None if it has batches but no past run computed one.

    The time of a batch is interpolated between the sizes of past batches. A smaller batch takes as long as the smallest past one,
    because most of that is start-up time. A larger batch takes proportionally longer than the largest past one.

    :param batches: the number of dates of each batch
    :param others: the number of dates that do not begin a batch
    """
    if batches and not led:
        return None
    known = sorted(led)
    working = sum(
        float(np.interp(dates, known, [led[size] for size in known])) * max(1.0, dates / known[-1]) for dates in batches
    )
    return working + quick * others / runs_at_once
