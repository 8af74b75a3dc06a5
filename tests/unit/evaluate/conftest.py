"""The lab, for tests that need tables and models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # lab.py beside this file

from lab import Lab, build_lab, with_lookup


@pytest.fixture
def lab(s3: Any, pipeline_factory: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lake with features and lookups of two weeks; `evaluate` finds the models that the test stored last."""
    pipeline = pipeline_factory(with_lookup(tmp_path / "pipelines" / "machine_faults"))
    found = build_lab(s3.open_lake(pipeline), tmp_path)
    monkeypatch.setattr("perennial.evaluate.evaluate.plan_training", found.plan)
    return found
