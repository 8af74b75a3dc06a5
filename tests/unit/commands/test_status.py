"""`perennial status`: the state of each pipeline in words, also of labels that are known later."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from lab import FixedTables

from perennial.analyse.plan import unlabelled_dates
from perennial.calendar import days
from perennial.cli import run_command
from perennial.commands.status import _labels_text
from perennial.config.pipeline import Pipeline
from perennial.errors import DropUnreadableError
from perennial.lake.tables import Partition, TableState
from stack.config import REPO

Call = Callable[..., tuple[int, Any]]

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 9)


def test_old_dates_without_labels_do_not_wait_for_any(s3: Any, pipeline_factory: Callable[..., Pipeline]) -> None:
    """Their features are older than the window of any run since labels are made, so no run makes labels of them."""
    tables = FixedTables()
    lake = replace(s3.open_lake(pipeline_factory(name="returned_orders")), tables=tables)
    assert unlabelled_dates(lake) == []
    for table, first, last in (("features", FIRST, LAST), ("labels", date(2026, 3, 4), date(2026, 3, 7))):
        partitions = {str(day): Partition("key", "digest", 10) for day in days(first, last)}
        tables.states[table] = TableState(table, "s3://none/metadata.json", 1, partitions)
    assert unlabelled_dates(lake) == [date(2026, 3, 8), LAST]


def test_status_says_when_labels_are_known() -> None:
    found = _labels_text({"unlabelled": ["2026-03-08", "2026-03-09"], "known_after_days": 14})
    assert found == "2026-03-08 to 2026-03-09 (2 dates): labels not known yet (known 14 days after the date)"


def test_status_before_the_first_run(call: Call, lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    code, found = call("status")
    assert code == 0
    assert found["pipelines"][0] == {
        "pipeline": "machine_faults",
        "landed": {"readings": None},
        "at_rest": [],
        "unlabelled": [],
        "known_after_days": 0,
        "history_lost": [],
        "waits": None,
        "refused_dates": {},
        "untrained_dates": {},
        "decided": 0,
        "stale": [],
        "last_date": None,
        "last_decision": None,
        "champion": None,
        "why": "",
        "barred": [],
        "release": None,
        "release_version": None,
        "behind": "",
        "endpoint": "http://127.0.0.1:9",
        "ready": False,
    }


def test_status_says_in_words_that_nothing_has_landed(
    lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert run_command(["status"]) == 0
    assert "  landed        readings: no drop has landed\n  last decision none yet\n" in capsys.readouterr().out


def test_a_pipeline_whose_landed_objects_are_refused_does_not_hide_the_status_of_others(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(REPO / "tests" / "pipelines" / "returned_orders", tmp_path / "pipelines" / "returned_orders")

    def fail(pipeline: Any) -> dict[str, Any]:
        raise DropUnreadableError(f"s3://landing/{pipeline.name}.csv", ["not handed out"])

    monkeypatch.setattr("perennial.commands.status._status", fail)
    code, found = call("status")
    assert code == 0
    assert {item["pipeline"]: item["refused"] for item in found["pipelines"]} == {
        name: f"s3://landing/{name}.csv: not handed out" for name in ("machine_faults", "returned_orders")
    }
