"""The limit of scratch that the processes of a training get."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from perennial.config.pipeline import Deployment, Training
from perennial.lake.lake import Lake
from perennial.runtime import process_training
from perennial.runtime.process_training import ProcessTrainer
from perennial.runtime.trainer import TrainerLimits, TrainingWork, trainer_variables


@pytest.mark.parametrize(("scratch", "expected"), [("3Gi", str(3 * 2**30)), (None, "")])
def test_a_process_has_the_limit_that_is_set_or_none(scratch: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of the environment of another process does not become its own: an empty variable counts as not set."""
    seen: list[dict[str, str]] = []

    def train(jobs: Sequence[str], *, limits: TrainerLimits, **_: Any) -> None:
        seen.append(trainer_variables(limits))

    monkeypatch.setattr(process_training, "train", train)
    training = Training.model_validate({"resources": {"scratch": scratch}})
    lake = cast(
        "Lake", SimpleNamespace(objects=None, pipeline=SimpleNamespace(training=training, deployment=Deployment(p99_ms=20)))
    )
    ProcessTrainer(lake).train(TrainingWork("mlp", "2026-03-14", "key", [], ["s3://a/1.json"]))
    assert seen == [
        {"PERENNIAL_MAX_SCRATCH": expected, "PERENNIAL_MAX_ROW_MS": "20.0", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    ]
