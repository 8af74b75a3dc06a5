"""Unit tests see nothing of a stack that this checkout may have run."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the state be an empty folder of the test's own."""
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "no-stack"))
