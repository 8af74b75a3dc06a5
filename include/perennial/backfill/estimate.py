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
"""Past runs that worked ahead, the longest first."""
FASTEST_RUNS = 3


def past_seconds(airflow: AirflowClient, dag_id: str, data_days: DataDays) -> tuple[dict[int, float], float]:
    """
    Return what past runs of backfills took, in seconds: one that led a chunk by its number of dates, and one with nothing to do.

    Without any the first is empty.
    """
    ended = airflow.backfill_runs(dag_id, order_by="-duration", limit=SLOWEST_RUNS)
    led: dict[int, list[float]] = {}
    for run in ended:
        plan = airflow.result(dag_id, run["dag_run_id"], "plan_run")
        if plan and plan["outcome"] == "done":
            dates = len(data_days.dates(date.fromisoformat(plan["date"]), date.fromisoformat(plan["until"])))
            led.setdefault(dates, []).append(_worked(airflow.tasks(dag_id, run["dag_run_id"])))
    # The shortest few: the others waited for one that led.
    quick = [run["duration"] for run in airflow.backfill_runs(dag_id, order_by="duration", limit=FASTEST_RUNS)]
    return {dates: median(seconds) for dates, seconds in led.items()}, median(quick) if quick else 0.0


def _worked(tasks: Sequence[TaskState]) -> float:
    """Return the seconds that the tasks of a run took one after the other; what it waited for others, or paused, is not among them."""
    longest: dict[str, float] = {}
    for one in tasks:
        if one.task != "plan_run":  # it waits for a run that leads
            longest[one.task] = max(longest.get(one.task, 0.0), one.seconds or 0.0)
    return sum(longest.values())


def expected_seconds(
    led: Mapping[int, float], quick: float, chunks: Collection[int], others: int, runs_at_once: int
) -> float | None:
    """
    Return the expected seconds of a backfill, or None when no past run led a chunk and this one has some.

    Between sizes that ran before, a chunk takes what lies between; a smaller one as long as the smallest, since most of that is
    starting; a larger one more in proportion.

    :param chunks: the number of dates of each
    :param others: dates that no chunk begins with
    """
    if chunks and not led:
        return None
    known = sorted(led)
    working = sum(float(np.interp(dates, known, [led[size] for size in known])) * max(1.0, dates / known[-1]) for dates in chunks)
    return working + quick * others / runs_at_once
