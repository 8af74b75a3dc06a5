"""The lab of tests/unit/evaluate, and a place where models serve that can be told to fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "evaluate")]

from lab import Lab, build_lab, with_lookup  # noqa: E402
from scripted_runtime import ScriptedRuntime  # noqa: E402


@pytest.fixture
def lab(s3: Any, pipeline_factory: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lake with features and lookups of two weeks; `evaluate` finds the models that the test stored last."""
    pipeline = pipeline_factory(with_lookup(tmp_path / "pipelines" / "machine_faults"))
    found = build_lab(s3.open_lake(pipeline), tmp_path)
    monkeypatch.setattr("perennial.evaluate.evaluate.plan_training", found.plan)
    return found


@pytest.fixture
def runtime(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRuntime]:
    """A place where models serve that does as it is told; a few requests are enough to see that."""
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 10)
    monkeypatch.setattr("perennial.deploy.serve_check.WARM_UP", 1)
    with ScriptedRuntime(lab.lake) as found:
        yield found
