"""The command that makes a pipeline of CSV files, in a folder of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import run_command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of pipelines that the commands use; the working directory has a folder `exports`."""
    (tmp_path / "exports").mkdir()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pipelines"


@pytest.fixture
def call(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs `perennial new` with --json and returns the exit code and the answer."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run_command(["new", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run
