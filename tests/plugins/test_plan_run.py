"""The operator that begins a run, on a real object store. What Airflow knows of other runs is a stand-in: it has none here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from perennial.calendar import midnight
from perennial.config.pipeline import Pipeline
from perennial_airflow.operators.plan_run import PlanRunOperator
from perennial_airflow.triggers import earlier_runs

FIRST, DAY, LAST = date(2026, 3, 2), date(2026, 3, 5), date(2026, 3, 7)
PARAMS = {"date": None, "until": LAST.isoformat(), "recompute": False, "force_decision": None, "force_reason": None}


@pytest.fixture
def pipeline(
    pipeline_factory: Callable[..., Pipeline], land_drops: Any, s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Pipeline:
    """Return a pipeline in New York's time of which FIRST to LAST have landed, and nothing has run."""
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    made = pipeline_factory(lambda document: document.update(time_zone="America/New_York"))
    land_drops(s3.put, made, FIRST, LAST)
    return made


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> set[datetime]:
    """Return the logical dates of the runs that are running, to be filled."""
    dates: set[datetime] = set()
    monkeypatch.setattr(earlier_runs, "count_running", lambda _dag_id, asked: len(dates & set(asked)))
    return dates


def plan(pipeline: Pipeline, run_type: str = "backfill", **params: Any) -> dict[str, Any]:
    start = midnight(DAY, pipeline.calendar.time_zone)
    run = SimpleNamespace(
        run_type=SimpleNamespace(value=run_type),
        run_id="run",
        conf={},
        data_interval_start=start,
        run_after=start + timedelta(days=1),
    )
    task = PlanRunOperator(task_id="plan_run", pipeline=pipeline.name)
    return task.execute({"dag_run": run, "params": {**PARAMS, **params}})  # type: ignore[typeddict-item]


def test_the_first_run_of_a_backfill_works_ahead_as_far_as_has_landed(pipeline: Pipeline, running: set[datetime]) -> None:
    assert plan(pipeline, until="2026-03-30") == {"date": str(DAY), "until": str(LAST), "outcome": "done"}


def test_a_run_of_a_backfill_waits_for_those_of_landed_dates_before_it(pipeline: Pipeline, running: set[datetime]) -> None:
    running.add(datetime(2026, 3, 3, 5, tzinfo=UTC))
    with pytest.raises(TaskDeferred) as deferred:
        plan(pipeline)
    waited = [f"2026-03-0{day}T05:00:00+00:00" for day in (2, 3, 4)]
    assert deferred.value.trigger.logical_dates == waited  # type: ignore[attr-defined]
    assert deferred.value.method_name == "resume"


def test_it_waits_for_none_that_waits_for_its_drop_and_for_no_later_one(pipeline: Pipeline, running: set[datetime]) -> None:
    running |= {datetime(2026, 3, 1, 5, tzinfo=UTC), datetime(2026, 3, 6, 5, tzinfo=UTC)}
    assert plan(pipeline)["until"] == str(LAST)


def test_what_is_to_be_made_again_waits_too_and_is_made_alone(pipeline: Pipeline, running: set[datetime]) -> None:
    assert plan(pipeline, recompute=True)["until"] == str(DAY)
    running.add(datetime(2026, 3, 4, 5, tzinfo=UTC))
    with pytest.raises(TaskDeferred):
        plan(pipeline, recompute=True)


def test_a_scheduled_run_waits_for_none(pipeline: Pipeline, running: set[datetime]) -> None:
    running.add(datetime(2026, 3, 4, 5, tzinfo=UTC))
    assert plan(pipeline, "scheduled", until=None)["until"] == str(DAY)


def test_an_empty_date_of_a_manual_run_means_the_newest_date_that_has_landed(pipeline: Pipeline, running: set[datetime]) -> None:
    newest = plan(pipeline, "manual", until=None)
    empty = {"date": "", "until": "", "recompute": None, "force_decision": "", "force_reason": ""}
    assert plan(pipeline, "manual", **empty) == newest
    assert plan(pipeline, "manual", date="2026-03-04", until=None)["date"] == "2026-03-04"
