"""`perennial quarantine`: the first rows as a table, all rows as JSON."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import pyarrow as pa
import pytest

from perennial.commands import quarantine
from perennial.commands.quarantine import COLUMNS, MAX_SHOWN


def use_rows(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    texts = {name: pa.array([f"{name} {place}" for place in range(count)]) for name in COLUMNS if name != "position"}
    rows = pa.table({**texts, "source": ["orders"] * count, "file": ["a.csv"] * count, "position": range(count, 0, -1)})
    state = SimpleNamespace(metadata_location="s3://lake/q", snapshot_id=1)
    lake = SimpleNamespace(pipeline=SimpleNamespace(name="shop"), tables=SimpleNamespace(state=lambda name: state))
    monkeypatch.setattr(quarantine, "chosen_lake", lambda name: lake)
    monkeypatch.setattr("perennial.lake.tables.read_rows", lambda *of, **named: rows.select(list(COLUMNS)))


def test_the_first_rows_are_shown_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_rows(monkeypatch, MAX_SHOWN + 7)
    quarantine.quarantine("shop", date="2026-01-07")
    shown = capsys.readouterr().out
    assert "and 7 more; --json shows all" in shown
    assert f"row {MAX_SHOWN + 6}" in shown, "the row of position 1"
    assert "row 6 " not in shown, "the row after the last one that is shown"


def test_all_rows_are_in_json_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    use_rows(monkeypatch, MAX_SHOWN + 7)
    quarantine.quarantine("shop", date="2026-01-07", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [row["position"] for row in said["rows"]] == list(range(1, MAX_SHOWN + 8))
    assert said["date"] == date(2026, 1, 7).isoformat()
