"""
The contract of a trainer, which every kind keeps.

The cluster of the kind `kubernetes` is a stand-in in memory that runs the real trainer in a process; a real cluster's is
tests/kubernetes/test_training_pods.py.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lab import LAST, ROWS, WINDOW, Lab, of_one_class
from scripted_cluster import ScriptedCluster, runs_trainer

from perennial.errors import PerennialError, RefusedError
from perennial.evaluate.holdout import read_predictions
from perennial.lake import parts
from perennial.lake.manifests import ModelManifest
from perennial.lake.result import Skipped
from perennial.runtime import pod_training, process_training, training_pod
from perennial.runtime.choice import open_trainer
from perennial.runtime.kind import RUNTIMES
from perennial.runtime.trainer import Trainer, TrainingWork
from perennial.store.content_name import sha256
from perennial.train import __main__ as trainer_module
from perennial.train import prepare
from perennial.train.checkpoints import Checkpoints
from perennial.train.job import Sample, read_job
from perennial.train.plan import finish_training
from perennial.train.scratch import Scratch
from perennial.train.trainings import read_model
from perennial.train.work import plan_work

pytestmark = pytest.mark.tensorflow

CANDIDATE = "logistic"
MISSING = "s3://perennial/jobs/missing.json"


@pytest.fixture(params=RUNTIMES)
def trainer(request: pytest.FixtureRequest, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setenv("PERENNIAL_RUNTIME", request.param)
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:test")
    monkeypatch.setattr(pod_training, "Cluster", lambda _: ScriptedCluster([runs_trainer]))
    monkeypatch.setattr(pod_training, "POLL_SECONDS", 0.05)
    return open_trainer(lab.lake)


def work(lab: Lab, candidate: str = CANDIDATE, **options: Any) -> TrainingWork:
    _, training = plan_work(lab.lake, LAST, candidate, **options)
    assert training is not None
    return training


def outcome(lab: Lab) -> str:
    plan, _ = plan_work(lab.lake, LAST, CANDIDATE)
    return str(finish_training(lab.lake, plan).outcome)


def test_the_models_are_there_and_what_the_trainer_says_is_passed_on(
    lab: Lab, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="perennial.runtime"):
        trainer.train(work(lab))
    assert outcome(lab) == "unchanged"
    assert f"Training logistic of {LAST}" in caplog.text
    trainer.train(work(lab, recompute=True))  # refused, should a bit of it differ


def test_two_callers_that_want_one_model_both_get_it(lab: Lab, trainer: Trainer) -> None:
    training = work(lab)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(trainer.train, training) for _ in range(2)]
    assert [call.result() for call in calls] == [None, None]
    assert outcome(lab) == "unchanged"


def test_a_failure_quotes_its_cause_and_the_next_call_trains(lab: Lab, trainer: Trainer) -> None:
    training = work(lab)
    with pytest.raises(PerennialError, match=MISSING) as failure:
        trainer.train(replace(training, jobs=[MISSING]))
    assert not isinstance(failure.value, RefusedError)
    trainer.train(training)
    assert outcome(lab) == "unchanged"


def test_a_job_that_the_trainer_refuses_is_refused(lab: Lab, trainer: Trainer) -> None:
    training = work(lab)
    job = {**lab.lake.objects.read_existing(training.jobs[0]).json(), "code": "of another release"}
    body = json.dumps(job).encode()
    uri = lab.lake.layout.job(sha256(body))
    lab.lake.objects.create(uri, body)
    with pytest.raises(RefusedError, match="the code of the trainer"):
        trainer.train(replace(training, jobs=[uri]))


def test_a_failure_ahead_is_logged_and_without_dates_ahead_it_is_raised(
    lab: Lab, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    training = work(lab)
    with caplog.at_level(logging.WARNING):
        trainer.train(replace(training, jobs=[*training.jobs, MISSING], has_ahead=True))
    assert outcome(lab) == "unchanged"
    assert "Training of the batch ended early" in caplog.text
    assert MISSING in caplog.text
    with pytest.raises(PerennialError, match=MISSING):
        trainer.train(replace(training, jobs=[MISSING]))


def test_dates_ahead_are_trained_in_the_same_work(lab: Lab, trainer: Trainer) -> None:
    first = LAST - timedelta(days=1)
    _, training = plan_work(lab.lake, first, CANDIDATE, until=LAST)
    assert training is not None
    assert (len(training.jobs), training.has_ahead) == (2, True)
    trainer.train(training)
    assert outcome(lab) == "unchanged"


def test_a_window_of_one_class_is_skipped_and_the_other_dates_of_the_batch_are_trained(
    lab: Lab, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    first = LAST - timedelta(days=1)
    lab.write_table("features", of_one_class(LAST), "date")
    plan, training = plan_work(lab.lake, first, CANDIDATE, until=LAST)
    assert training is not None
    with caplog.at_level("INFO", logger="perennial.runtime"):
        trainer.train(training)
    reason = f"the training window has {4 * ROWS} rows, all of them negative. A model needs both classes"
    assert f"Skipped logistic of {LAST}: {reason}" in caplog.text
    assert finish_training(lab.lake, plan).outcome == "done"
    skipped, again = plan_work(lab.lake, LAST, CANDIDATE)
    assert again is None
    result = finish_training(lab.lake, skipped)
    assert isinstance(result, Skipped)
    assert result.reason.startswith(reason)
    recomputed, training = plan_work(lab.lake, LAST, CANDIDATE, recompute=True)
    assert training is not None
    trainer.train(training)
    assert finish_training(lab.lake, recomputed) == result


def test_a_training_goes_on_from_the_checkpoint_of_one_that_was_killed(
    lab: Lab, trainer: Trainer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing catches it."""

    class KilledAfterOne(Checkpoints):
        def save(self, buckets: int, state: Any) -> None:
            self._seconds = 0
            super().save(buckets, state)
            raise Killed

    plan, training = plan_work(lab.lake, LAST, "mlp")
    assert training is not None
    trainer_module.run_job(lab.lake.objects, training.jobs[0])
    whole = read_model(lab.lake, str(plan.manifest_uri))
    lab.lake.objects.delete(str(plan.manifest_uri))
    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "Checkpoints", KilledAfterOne)
        with pytest.raises(Killed):
            trainer_module.run_job(lab.lake.objects, training.jobs[0])
    with caplog.at_level("INFO", logger="perennial.runtime"):
        trainer.train(training)
    assert "Resuming after bucket 1 from a checkpoint" in caplog.text
    assert {**read_model(lab.lake, str(plan.manifest_uri)), "measured": None} == {**whole, "measured": None}


def test_a_training_without_enough_scratch_is_refused_and_leaves_nothing(
    lab: Lab, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = work(lab)
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(tmp_path))
    for module in (process_training, training_pod):
        monkeypatch.setattr(module, "trainer_variables", lambda _: {"PERENNIAL_MAX_SCRATCH": "1000"})
    with pytest.raises(RefusedError, match=r"training\.resources\.scratch allows 1,000 bytes"):
        trainer.train(training)
    assert list(tmp_path.glob("*perennial-training*")) == []


def test_a_model_that_is_too_slow_for_the_deployment_is_refused_before_the_gate(lab: Lab, trainer: Trainer) -> None:
    training = work(lab)
    deployment = lab.pipeline.deployment.model_copy(update={"p99_ms": 1e-4})
    impatient = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))
    with pytest.raises(RefusedError, match=r"takes [0-9.]+ ms for one row at best, and deployment\.p99_ms allows .* 0\.0001 ms"):
        open_trainer(impatient).train(training)
    assert not training.is_done(lab.lake.objects)


def test_a_training_that_cannot_fit_is_refused_by_its_plan(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        work(lab)
    assert f"The training of {LAST} takes, by estimate: logistic: {WINDOW * ROWS} rows of the window in one bucket" in caplog.text
    state = lab.lake.tables.state("features")
    huge = {day: replace(partition, rows=10**12) for day, partition in state.partitions.items()}
    lab.lake.tables.states["features"] = replace(state, partitions=huge)  # type: ignore[attr-defined]
    with pytest.raises(RefusedError, match=r"(?s)for 2026-03-14 does not fit.*scratch: at least.*memory: needs about"):
        work(lab)


def predictions_of(lab: Lab, manifest: ModelManifest) -> list[dict[str, Any]]:
    rows = read_predictions(lab.lake, manifest).to_pylist()
    return sorted(rows, key=lambda row: (row["date"], row["reading_id"]))


def test_dates_that_are_read_in_parts_give_the_model_of_dates_that_are_read_at_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, training = plan_work(lab.lake, LAST, CANDIDATE)
    assert training is not None
    trainer_module.run_job(lab.lake.objects, training.jobs[0])
    whole = read_model(lab.lake, str(plan.manifest_uri))
    lab.lake.objects.delete(str(plan.manifest_uri))
    monkeypatch.setattr(parts, "MAX_READ", 7)
    trainer_module.run_job(lab.lake.objects, training.jobs[0])
    divided = read_model(lab.lake, str(plan.manifest_uri))
    assert [predictions_of(lab, manifest) for manifest in (divided, whole)] == [predictions_of(lab, whole)] * 2
    assert divided["metrics"] == pytest.approx(whole["metrics"], abs=1e-12)
    differing = {"measured": None, "metrics": None, "files": None}
    assert {**divided, **differing} == {**whole, **differing}
    assert all(divided["files"][name] == whole["files"][name] for name in ("model.onnx", "weights.safetensors"))


@pytest.mark.parametrize("kind", ["uniform", "balanced"])
def test_a_sample_is_the_same_rows_however_they_are_read(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    _, training = plan_work(lab.lake, LAST, CANDIDATE)
    assert training is not None
    job = read_job(lab.lake.objects, training.jobs[0]).model_copy(update={"sample": Sample(max_rows=60, kind=kind)})

    def read(name: str) -> prepare.Examples:
        folder = tmp_path / name
        folder.mkdir()
        return prepare.read_examples(job, Scratch(folder))

    whole = read("whole")
    monkeypatch.setattr(parts, "MAX_READ", 7)
    divided = read("parts")
    rows = [[(bucket.numbers.tobytes(), bucket.y.tolist()) for bucket in found.window.read()] for found in (whole, divided)]
    assert rows[0] == rows[1]
    assert 40 < whole.window.rows < 80
    assert (whole.constant, whole.window.log_odds) == (divided.constant, divided.window.log_odds)
    assert (whole.window.log_odds != 0) == (kind == "balanced")
