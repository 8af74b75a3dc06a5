"""The schedule itself: Airflow makes the run of yesterday, which waits for its drop and retrains when that lands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from perennial.calendar import DAY
from perennial.deploy.active import read_active

PIPELINE = "machine_faults_live"
DAG = f"retrain_{PIPELINE}"
RUN_SECONDS = 600


def test_scheduler_makes_the_run_of_yesterday_and_finishes_it_when_the_drop_lands(stack) -> None:
    lake = stack.lake(PIPELINE)
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    run = _wait("a scheduled run", lambda: next((run for run in stack.airflow.runs(DAG)), None))
    assert run["run_type"] == "scheduled"
    day = datetime.fromisoformat(run["data_interval_start"]).date()
    assert datetime.fromisoformat(run["data_interval_end"]).date() == day + DAY
    stack.land(PIPELINE, lake.pipeline.start, day - DAY)
    _wait("wait_for_drop to be deferred", lambda: _state(stack, run["dag_run_id"], "wait_for_drop") == "deferred")

    stack.land(PIPELINE, day, day)

    state, tasks = stack.airflow.wait(DAG, run["dag_run_id"], RUN_SECONDS)
    assert state == "success", tasks
    assert {task.state for task in tasks} == {"success"}
    assert read_active(lake).release.startswith(day.isoformat())


def _state(stack, run_id: str, task: str) -> str:
    return next(one.state for one in stack.airflow.tasks(DAG, run_id) if one.task == task)


def _wait(what: str, look: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not seen after {seconds:.0f} s"
        time.sleep(0.5)
    return found
