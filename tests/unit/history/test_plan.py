"""What the plan of a backfill says of a range of dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from lab import LAST, Lab
from steps import D1, D2, D3

from perennial.errors import DateRefusedError
from perennial.history import plan
from perennial.history.plan import plan_history
from perennial.lake.tables import Partition, TableState


def test_dates_that_have_not_begun_are_refused(lab: Lab) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(DateRefusedError, match="is in the future"):
        plan_history(lab.lake, D1, tomorrow)


@pytest.mark.parametrize(("landed", "expected"), [(set(), (D2, D3)), ({LAST}, (D3,))])
@pytest.mark.parametrize("reshaped", [set(), {LAST}], ids=["not analysed", "analysed with other columns"])
def test_a_date_is_young_only_when_nothing_of_its_history_is_to_come(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, landed: set[date], expected: tuple[date, ...], reshaped: set[date]
) -> None:
    """D3's history does not reach back to LAST here."""
    reach = {D2: [LAST, D2], D3: [D3]}
    partitions = {day.isoformat(): Partition("key", "digest", 1) for day in {D2, D3} | reshaped}
    features = TableState("features", "s3://lake/1.json", 1, partitions, frozenset(map(str, reshaped)))
    monkeypatch.setattr(plan, "split_of", lambda lake, day: type("Split", (), {"too_little": "1 of 5 days"}))
    monkeypatch.setattr(plan, "whole_dates", lambda lake, dates: landed & set(dates))
    monkeypatch.setattr(type(lab.pipeline.calendar), "feature_dates", lambda calendar, day: reach[day])
    monkeypatch.setattr(lab.lake.tables, "state", lambda name: features)
    assert plan._young(lab.lake, [D2, D3]) == expected
