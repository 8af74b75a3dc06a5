"""A place where models serve that can be told to fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import Lab
from scripted_runtime import ScriptedRuntime


@pytest.fixture
def runtime(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRuntime]:
    """A place where models serve that does as it is told; a few requests are enough to see that."""
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 10)
    monkeypatch.setattr("perennial.deploy.serve_check.WARM_UP", 1)
    with ScriptedRuntime(lab.lake) as found:
        yield found
