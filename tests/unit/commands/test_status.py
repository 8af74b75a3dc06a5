"""`perennial status` of labels that are known later, as a person is shown it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from lab import FixedTables

from perennial.analyse.plan import unlabelled_dates
from perennial.calendar import days
from perennial.commands.status import _labels_text
from perennial.config.pipeline import Pipeline
from perennial.lake.tables import Partition, TableState

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
