"""The job of analyse where labels have a table of their own: whether its features must fit labels that it does not compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import returned_orders
from lab import FixedTables, Lab

from perennial.analyse.plan import plan_analyse
from perennial.calendar import days
from perennial.config.load import FILE, read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.lake.lake import Lake

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 8)
FEATURES = ("features.sql", "o.order_id,", "CAST(o.order_id AS STRING) AS order_id,")
LABELS = ("labels.sql", "o.order_id,", "CAST(o.order_id AS STRING) AS order_id,")


@pytest.fixture
def ran(s3: Any, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    """Return a lake as the run of LAST leaves it."""
    pipeline = pipeline_factory(name="returned_orders")
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    for day in days(FIRST, LAST):
        returned_orders.land(s3.put, pipeline, day)
    Lab(lake, None).settle(LAST)  # type: ignore[arg-type]
    return lake


@pytest.mark.parametrize(
    ("edits", "expected"),
    [([FEATURES], (True, 0)), ([FEATURES, LABELS], (False, 5))],
    ids=["features.sql alone", "labels.sql too"],
)
def test_features_must_fit_the_labels_that_are_not_computed_again(
    ran: Lake, edits: list[tuple[str, str, str]], expected: tuple[bool, int]
) -> None:
    for file, old, new in edits:
        path = ran.pipeline.folder / file
        path.write_text(path.read_text().replace(old, new, 1))
    lake = replace(ran, pipeline=read_pipeline(ran.pipeline.folder / FILE))

    job = lake.objects.read_existing(str(plan_analyse(lake, LAST).job_uri)).json()

    (features,) = job["features"]
    labelled = [day for item in job["labels"] for day in item["days"]]
    assert (features["has_stored_labels"], len(labelled)) == expected


def test_the_first_job_has_no_labels_to_fit(ran: Lake) -> None:
    for table in ("features", "labels"):
        del ran.tables.states[table]  # type: ignore[attr-defined]
    job = ran.objects.read_existing(str(plan_analyse(ran, LAST).job_uri)).json()
    assert not job["features"][0]["has_stored_labels"]
    assert job["labels"]


def test_a_job_is_big_if_one_of_its_dates_is(ran: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    del ran.tables.states["features"]  # type: ignore[attr-defined]
    clean = [state for name, state in ran.tables.states.items() if name.startswith("clean_")]  # type: ignore[attr-defined]
    most = max(partition.rows for state in clean for day, partition in state.partitions.items() if day != "reference")

    for limit, is_big in ((most, False), (most - 1, True)):
        monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", str(limit))
        job = ran.objects.read_existing(str(plan_analyse(ran, LAST).job_uri)).json()
        assert job["is_big"] is is_big
