"""Tests of one part in processes of its own: servers, a JVM, supervised services. The whole stack is tests/integration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab

from perennial.runtime import process_serving
from perennial.runtime.process_serving import ProcessRuntime


@pytest.fixture(autouse=True)
def alone(no_stack: None) -> None:
    """Every test here is without a stack."""


@pytest.fixture
def process_runtime(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessRuntime]:
    """The runtime of a checkout with this one pipeline, its endpoint on a free port, nothing running."""
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", str(process_serving._free_port()))
    found = ProcessRuntime(lab.pipeline.name, follow_seconds=60)
    yield found
    found.unstage()
