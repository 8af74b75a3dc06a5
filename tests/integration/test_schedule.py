"""The schedule: with drops dated in the present, the scheduler itself creates the run, waits for its drop, and finishes it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest

pytestmark = pytest.mark.stack

PIPELINE = "machine_faults_live"
DAG = f"retrain_{PIPELINE}"
RUN_SECONDS = 600


def test_scheduler_creates_waits_and_finishes(stack) -> None:
    today = datetime.now(UTC).date()
    stack.land(PIPELINE, stack.lake(PIPELINE).pipeline.start, today - timedelta(days=2))
    stack.airflow.wait_for_dag(DAG)

    stack.airflow.unpause(DAG)
    run = first_run(stack)
    assert run["run_type"] == "scheduled"
    day = date.fromisoformat(run["data_interval_start"][:10])
    assert today - day in (timedelta(days=1), timedelta(0))
    wait_for_state(stack, run["dag_run_id"], "wait_for_drop", "deferred")
    stack.land(PIPELINE, today - timedelta(days=1), day)
    state, tasks = stack.airflow.wait(DAG, run["dag_run_id"], RUN_SECONDS)

    assert state == "success", [(task.name, task.state) for task in tasks]
    assert stack.airflow.result(DAG, run["dag_run_id"], "plan_run")["date"] == day.isoformat()
    assert stack.airflow.result(DAG, run["dag_run_id"], "deploy")["as_of"] == (day + timedelta(days=1)).isoformat()
    assert len(stack.airflow.runs(DAG)) == 1


def first_run(stack) -> dict[str, str]:
    deadline = time.monotonic() + 120
    while not (runs := stack.airflow.runs(DAG)):
        assert time.monotonic() < deadline, "the scheduler has made no run"
        time.sleep(0.5)
    return runs[0]


def wait_for_state(stack, run_id: str, task_id: str, state: str) -> None:
    deadline = time.monotonic() + 180
    while (found := {task.name: task.state for task in stack.airflow.tasks(DAG, run_id)})[task_id] != state:
        assert found["plan_run"] not in ("failed", "skipped"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
