"""The lines of `perennial backfill` where there is no terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.backfill.again import Again
from perennial.backfill.progress import Progress
from perennial.commands import backfill

NOW = Progress(date(2026, 3, 1), date(2026, 3, 10), 10)


@pytest.mark.parametrize(("silent", "lines"), [(1e9, 3), (0, 5)], ids=["a line on change", "a line now and then without one"])
def test_progress_is_a_line_on_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], silent: float, lines: int
) -> None:
    def run_history(*arguments: Any) -> None:
        for now in (NOW, NOW, replace(NOW, stages=("clean",)), replace(NOW, stages=("clean",)), replace(NOW, decided=1)):
            arguments[-1](now)

    monkeypatch.setattr("perennial.backfill.run.run_history", run_history)
    monkeypatch.setattr(backfill, "LINE_SECONDS", 0)
    monkeypatch.setattr(backfill, "SILENT_SECONDS", silent)
    airflow, lake = (
        SimpleNamespace(backfills_url=str, wait_for_dag=lambda *_: None),
        SimpleNamespace(pipeline=SimpleNamespace(name="p")),
    )

    backfill._run(airflow, lake, None, Again.ALL, None)  # type: ignore[arg-type]

    found = capsys.readouterr()
    assert found.out == ""
    shown = [line for line in found.err.splitlines() if "2026-03-01 to 2026-03-10" in line]
    assert len(shown) == lines
    assert " 1 of 10 dates decided · 0 of 10 runs ended · 0:00" in shown[-1]
