"""The lines of `perennial run`: gaps by reason, and each warning once."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

import pytest

from perennial.calendar import EVERY_DAY, days
from perennial.cli import run_command
from perennial.commands.progress import _Handler
from perennial.commands.run import MAX_SHOWN, _gap_lines
from perennial.stages import STAGES

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 5)
WARNING = "readings: 3 of 4 dates break the present contract: column 'channel' is not in the contract."


@pytest.fixture
def landed(s3, pipeline_factory, land_drops, machine_data, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Land one date that fits, after one that is missing and three whose drop has a column that the contract lacks."""
    lake = s3.open_lake(pipeline_factory())
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    land_drops(s3.put, lake.pipeline, LAST, LAST)
    for day in days(FIRST, date(2026, 3, 3)):
        head, *rows = machine_data.files(day)["readings-1.csv"].decode().splitlines()
        files = {"a.csv": "\n".join([f"{head},channel", *(f"{row},web" for row in rows), ""]).encode()}
        for name, body in {**files, "_MANIFEST.json": machine_data.manifest(day, files)}.items():
            s3.put(lake.pipeline.sources["readings"].drop_uri(day) + name, body)


def test_gaps_are_a_line_a_reason_and_a_warning_is_printed_once(
    landed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("perennial.stages.STAGES", STAGES[:1])
    monkeypatch.setattr(logging.getLogger(), "handlers", [_Handler()])
    assert run_command(["run", "machine_faults", "--date", str(LAST)]) == 0
    found = capsys.readouterr()
    (line,) = [line for line in found.out.splitlines() if line.startswith("collect ")]
    assert line.endswith("pinned 1, gaps 4")
    assert "  gap 2026-03-01 to 2026-03-03: readings: refused: a.csv: column 'channel' is not in the contract" in found.out
    assert "  gap 2026-03-04: readings: not landed" in found.out.splitlines()
    assert found.out.count(WARNING) == 1
    assert WARNING not in found.err
    assert "Pinned 1 of 5 dates" in found.err, "the rest of the log is shown"


def test_json_leaves_the_warning_in_the_log(
    landed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("perennial.stages.STAGES", STAGES[:1])
    monkeypatch.setattr(logging.getLogger(), "handlers", [_Handler()])
    assert run_command(["run", "machine_faults", "--date", str(LAST), "--json"]) == 0
    assert WARNING in capsys.readouterr().err


def test_very_many_reasons_are_counted() -> None:
    gaps: Any = {f"2026-03-{number:02}": f"orders: {number} of 50 rows break the contract" for number in range(1, MAX_SHOWN + 3)}
    lines = _gap_lines(gaps, EVERY_DAY)
    assert lines[0] == "  gap 2026-03-01: orders: 1 of 50 rows break the contract"
    assert lines[MAX_SHOWN:] == ["  and 2 more reasons of gaps; --json shows all"]
