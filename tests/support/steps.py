"""What the tests of deploying do again and again: decide a date, and kill a deploy at a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from lab import LAST, Lab
from scripted_runtime import ScriptedRuntime

from perennial.deploy import protocol
from perennial.deploy.deploy import deploy
from perennial.evaluate.evaluate import evaluate
from perennial.lake.lake import Lake
from perennial.stages import Run, stages_of

D1, D2, D3 = LAST - timedelta(days=3), LAST - timedelta(days=2), LAST - timedelta(days=1)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: str) -> Iterator[None]:
    """Run the block until the protocol reaches a step, and require that it does."""

    def kill(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(protocol, step, kill)
        with pytest.raises(Killed):
            yield


def decide(lab: Lab, day: date, weight: float = 0.1) -> str:
    """Train and evaluate a date; return the version of its mlp."""
    version = lab.train("mlp", day, weight)
    lab.train("logistic", day, -0.05)
    evaluate(lab.lake, day, run_id=f"run-{day}")
    return version


def forced(lab: Lab, day: date, weight: float = 0.1, reason: str = "test", by: str | None = None) -> str:
    """Like decide, promoted in any case: these tests are about what comes after."""
    version = lab.train("mlp", day, weight)
    lab.train("logistic", day, -0.05)
    evaluate(lab.lake, day, run_id=f"run-{day}", force_decision="PROMOTE", force_reason=reason, by=by)
    return version


def released(lab: Lab, runtime: ScriptedRuntime, day: date, weight: float = 0.1) -> str:
    """Promote a model as `forced` does, release it, and return its version."""
    version = forced(lab, day, weight)
    deploy(lab.lake, day, runtime)
    return version


def run_day(lake: Lake, day: date) -> Any:
    """Train, blend and judge a date."""
    run = Run(lake, day, "test")
    for stage in stages_of(lake.pipeline):
        if stage.name in ("train", "blend"):
            for name in stage.candidates(lake.pipeline):
                stage.run(run, name)
    return evaluate(lake, day, run_id="test")
