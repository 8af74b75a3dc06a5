"""The plan of clean with a cleaning step in Python: its fingerprint and its job."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import FixedTables

from perennial.clean import plan as module
from perennial.clean.job_file import CleanJob, PandasStep
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.config.clean_step import LIBRARIES
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.fingerprints.causes import explain
from perennial.fingerprints.fingerprint import Category, StaleCause, library_versions
from perennial.fingerprints.recipes import recipe_of
from perennial.lake.lake import Lake

DAY = date(2026, 3, 1)
STEP = "def clean(df):\n    return df\n"
EDITED = "def clean(df):\n    return df.dropna()\n"


@pytest.fixture
def landed(s3: Any, pipeline_factory: Callable[..., Pipeline], land_drops: Callable[..., None]) -> Lake:
    """Return a lake with the accepted drop of one date."""
    pipeline = pipeline_factory()
    land_drops(s3.put, pipeline, DAY, DAY)
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    collect(lake, DAY)
    return lake


def with_step(lake: Lake, text: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Lake:
    monkeypatch.setenv("PERENNIAL_TRUSTED_PIPELINES", "machine_faults")
    folder: Path = lake.pipeline.folder
    (folder / "sources").mkdir(exist_ok=True)
    (folder / "sources" / "readings.py").write_text(text)
    return replace(lake, pipeline=read_pipeline(folder / "pipeline.yaml").model_copy(update=changes))


def test_a_step_is_fingerprinted_by_its_code_its_libraries_and_its_clock(landed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(text: str, **changes: Any) -> Any:
        return clean_keys(with_step(landed, text, monkeypatch, **changes), "readings", DAY, DAY)[DAY]

    plain = clean_keys(landed, "readings", DAY, DAY)[DAY]
    assert set(plain.parts.libraries) == {"spark"}
    first = key(STEP)
    assert set(first.parts.libraries) == {"spark", *LIBRARIES}
    assert first == key('"""Tidy readings."""\ndef clean(df):\n    # nothing to do\n\n    return df\n')
    recipe = [recipe_of(first)]
    assert explain(key(EDITED), first, recipe) == [StaleCause(Category.CONFIGURATION, "sources/readings.py changed")]
    assert key(STEP, time_zone="Europe/Berlin") != first
    assert StaleCause(Category.CONFIGURATION, "sources/readings.py removed") in explain(plain, first, recipe)
    monkeypatch.setattr(module, "library_versions", lambda *names: {**library_versions(*names), "pandas": "2.0"})
    (cause,) = explain(key(STEP), first, recipe)
    assert (cause.category, cause.what.partition(" ")[0]) == (Category.LIBRARIES, "pandas")


def test_the_job_holds_all_that_the_step_needs(landed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = with_step(landed, STEP, monkeypatch, time_zone="Europe/Berlin")
    uri = plan_clean(lake, DAY).job_uri
    assert uri is not None
    (table,) = CleanJob.from_json(json.loads(lake.objects.read_existing(uri).body)).tables
    assert table.sql is None
    assert table.step == PandasStep(STEP, library_versions(*LIBRARIES))
