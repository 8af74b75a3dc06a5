"""Which pending work concerns the run of a date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lab import FixedTables

from perennial.analyse.pending import Change, changes_read
from perennial.calendar import DAY, days
from perennial.config.pipeline import Pipeline
from perennial.lake.lake import Lake
from perennial.lake.tables import Partition, TableState

FIRST, LAST, IN_WINDOW = date(2026, 3, 1), date(2026, 3, 8), date(2026, 3, 3)


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    lake = replace(s3.open_lake(pipeline_factory(name="returned_orders")), tables=FixedTables())
    partitions = {day.isoformat(): Partition("key", "digest", 1) for day in days(FIRST, LAST)}
    for name in lake.pipeline.sources:
        lake.tables.states[f"clean_{name}"] = TableState(name, None, 1, dict(partitions))  # type: ignore[attr-defined]
    return lake


def test_a_lookup_as_of_a_gap_concerns_only_the_date_before(lake: Lake) -> None:
    """The run of a later date was called stale for it, though no features join it."""
    change = Change("lookup_category_rates", IN_WINDOW)
    assert changes_read(lake, [change], LAST, LAST) == [change]
    for name in lake.pipeline.sources:
        del lake.tables.state(f"clean_{name}").partitions[IN_WINDOW.isoformat()]
    assert changes_read(lake, [change], LAST, LAST) == []
    assert changes_read(lake, [change], IN_WINDOW - DAY, IN_WINDOW - DAY) == [change]
