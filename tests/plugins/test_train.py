"""The task that trains in a process: what a failure of the dates that it works ahead for means for its own date."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from perennial.config.pipeline import Deployment, Gate, Inputs, Training
from perennial.errors import PerennialError
from perennial.lake.result import Outcome, Skipped
from perennial.runtime import process_training, trainer
from perennial.train import work
from perennial.train.plan import Trained, TrainingPlan
from perennial_airflow import tasks

OWN = "s3://lake/models/own.json"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A lake that has the manifests in `written`, jobs `ahead`, and trainings that fail with `error`, if there is one."""
    world = SimpleNamespace(
        plan=TrainingPlan("mlp", skipped=None, job_uri="s3://job-own", manifest_uri=OWN, unchanged=False, key="key"),
        ahead=["s3://job-ahead"],
        written=set(),
        trained=[],
        error=None,
    )
    objects = SimpleNamespace(exists=lambda uri: uri in world.written)
    inputs = Inputs.model_validate({"request": {"amount": "number"}})
    pipeline = SimpleNamespace(
        name="p", runtime="process", training=Training(), gate=Gate(), deployment=Deployment(), inputs=inputs
    )
    pipeline.calendar = SimpleNamespace(dates=lambda first, last: [first, last])
    lake = SimpleNamespace(objects=objects, pipeline=pipeline)

    def train(jobs: list[str], **_: Any) -> None:
        world.trained += jobs
        if world.error:
            raise world.error
        world.written.add(OWN)

    def finished(_: Any, plan: TrainingPlan) -> Trained | Skipped:
        if plan.skipped:
            return Skipped(candidate=plan.candidate, reason=plan.skipped)
        return Trained(Outcome.DONE, plan.candidate, "v", "s3://m", {}, None, None, {"roc_auc": 0.5}, [])

    monkeypatch.setattr(tasks, "lake_of", lambda _: lake)
    monkeypatch.delenv("PERENNIAL_RUNTIME", raising=False)
    monkeypatch.setattr(work, "plan_training", lambda *_, **__: world.plan)
    monkeypatch.setattr(work, "plan_ahead", lambda *_: world.ahead)
    monkeypatch.setattr("perennial.train.plan.finish_training", finished)
    monkeypatch.setattr(process_training, "train", train)
    return world


def train(ti: Any = None) -> Any:
    params = {"recompute": False, "force_decision": None, "force_reason": None}
    dag_run = SimpleNamespace(run_id="r", triggering_user_name="ann")
    return tasks.run_stage.function("p", "train", "2026-03-05", "2026-03-09", "mlp", dag_run=dag_run, params=params, ti=ti)


def test_its_own_date_is_trained_first_then_those_ahead(world: SimpleNamespace) -> None:
    assert train() == {
        "outcome": "done", "candidate": "mlp", "version": "v", "manifest": "s3://m", "rows": {}, "warnings": [], "roc_auc": 0.5
    }  # fmt: skip
    assert world.trained == ["s3://job-own", "s3://job-ahead"]


def test_a_failure_ahead_leaves_a_date_that_is_trained_alone(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(trainer.log, "warning", lambda text, error: warned.append(text % error))
    world.error, world.written = PerennialError("killed at the third of 60"), {OWN}
    assert train()["outcome"] == "done"
    ahead = "Training of the batch ended early, the remaining dates train in their own runs"
    assert warned == [f"{ahead}: killed at the third of 60"]


def test_a_failure_of_its_own_date_is_raised(world: SimpleNamespace) -> None:
    world.error = PerennialError("killed at once")
    with pytest.raises(PerennialError, match="killed at once"):
        train()


def test_a_failure_without_dates_ahead_is_raised_whatever_stands_in_the_lake(world: SimpleNamespace) -> None:
    world.error, world.written, world.ahead = PerennialError("came out differently"), {OWN}, []
    with pytest.raises(PerennialError, match="came out differently"):
        train()


def test_too_little_history_skips_the_task_and_hands_on_the_reason(world: SimpleNamespace) -> None:
    world.plan = TrainingPlan("mlp", skipped="2 of 5 days", job_uri=None, manifest_uri=None, unchanged=False)
    pushed: dict[str, Any] = {}
    with pytest.raises(AirflowSkipException, match="2 of 5 days"):
        train(SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})))
    assert pushed == {"return_value": {"outcome": "skipped", "candidate": "mlp", "reason": "2 of 5 days"}}
    assert world.trained == []
