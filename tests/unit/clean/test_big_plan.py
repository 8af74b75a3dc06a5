"""The plan of clean by the rows of its drops: big dates, and the size of the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lab import FixedTables

from perennial.calendar import days
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.lake.lake import Lake
from perennial.spark.size import ROWS

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture
def landed(s3: Any, pipeline_factory: Callable[..., Pipeline], land_drops: Callable[..., None]) -> Lake:
    """Return a lake with the accepted drops of two dates."""
    pipeline = pipeline_factory()
    land_drops(s3.put, pipeline, FIRST, LAST)
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    collect(lake, LAST)
    return lake


def test_a_date_of_more_rows_than_the_limit_is_big(landed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_clean(landed, LAST)
    (table,) = landed.objects.read_existing(str(plan.job_uri)).json()["tables"]
    rows = {day: sum(file["rows"] for file in drop["files"]) for day, drop in table["days"].items()}
    assert table["big"] == []
    assert plan.conf[ROWS] == str(sum(rows.values()))
    assert all(file["by_lines"] for drop in table["days"].values() for file in drop["files"])

    monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", str(min(rows.values()) - 1))
    (table,) = landed.objects.read_existing(str(plan_clean(landed, LAST).job_uri)).json()["tables"]
    assert sorted(table["big"]) == [str(day) for day in days(FIRST, LAST)]

    monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", str(max(rows.values())))
    (table,) = landed.objects.read_existing(str(plan_clean(landed, LAST).job_uri)).json()["tables"]
    assert table["big"] == []


def test_a_step_in_python_sees_a_whole_date(landed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", "1")
    monkeypatch.setenv("PERENNIAL_TRUSTED_PIPELINES", "machine_faults")
    folder = landed.pipeline.folder
    (folder / "sources").mkdir(exist_ok=True)
    (folder / "sources" / "readings.py").write_text("def clean(df):\n    return df\n")
    lake = replace(landed, pipeline=read_pipeline(folder / "pipeline.yaml"))

    (table,) = lake.objects.read_existing(str(plan_clean(lake, LAST).job_uri)).json()["tables"]

    assert table["big"] == []
