"""`perennial validate`, and the commands that refuse first whatever it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import run_command

Call = Callable[..., tuple[int, Any]]


def test_validate(call: Call) -> None:
    assert call("validate") == (0, {"pipelines": [{"name": "machine_faults", "valid": True, "problem": None, "doubts": []}]})


def test_validate_says_what_is_wrong_and_fails(
    call: Call, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = pipeline_factory().folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("binary", "ternary"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    code, found = call("validate")
    assert code == 1
    assert "expected 'binary', 'multiclass' or 'regression', found 'ternary'" in found["pipelines"][0]["problem"]


def test_validate_shows_the_place_of_a_probable_syntax_error(
    pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pipeline_factory().folder / "features.sql").write_text("SELECT r.date,\n  r.mode\n  r.machine\nFROM readings r\n")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    assert run_command(["validate"]) == 0
    head, *doubt = capsys.readouterr().out.splitlines()
    assert head == "? machine_faults: 1 file not checked"
    assert doubt[0].startswith(
        "? machine_faults: features.sql, line 3: probably a syntax error at '.'. Look for a missing comma, "
    )
    assert doubt[1:] == ["   3 |   r.machine", "     |    ^"]


def test_validate_counts_warnings(
    pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_factory(lambda document: document["sources"]["readings"]["columns"]["mode"].update(optional=True))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    assert run_command(["validate"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "? machine_faults: 1 warning"


@pytest.mark.parametrize("broken", ["pipeline.yaml", "features.sql"])
@pytest.mark.parametrize(
    "command",
    [
        "run --date 2026-03-02",
        "backfill --from 2026-03-02 --to 2026-03-03",
        "backfill --from 2026-03-02 --to 2026-03-03 --as tried --window 3",
        "impact",
    ],
)
def test_what_validate_refuses_is_refused_before_anything_starts(
    call: Call, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, broken: str
) -> None:
    """No stack is up here, so a command that began with anything else would report that."""
    file = pipeline_factory().folder / broken
    file.write_text(file.read_text().replace("binary", "ternary").replace("JOIN readings", "JOIN reading"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    _, validated = call("validate")
    problem = validated["pipelines"][0]["problem"]
    assert problem
    assert call(*command.split()) == (1, {"error": problem})
