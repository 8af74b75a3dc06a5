"""What the plan of a backfill says of a range of dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from lab import LAST, Lab

from perennial.backfill.plan import plan_history
from perennial.errors import DateRefusedError

ANALYSED = [LAST - timedelta(days=2), LAST]
"""Each has too little history to train: with features of these two dates alone it is two days of eight."""

ONLY_THE_EARLIER_REACHES = LAST - timedelta(days=11)


def test_dates_that_have_not_begun_are_refused(lab: Lab) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(DateRefusedError, match="is in the future"):
        plan_history(lab.lake, LAST, tomorrow)


@pytest.mark.parametrize(
    ("landed", "expected"),
    [([], ANALYSED), ([ONLY_THE_EARLIER_REACHES], ANALYSED[1:]), ([LAST - timedelta(days=5)], [])],
    ids=["nothing to come", "to come for the earlier", "to come for both"],
)
def test_a_date_is_young_only_when_nothing_of_its_history_is_to_come(
    lab: Lab, s3: Any, land_drops: Callable[..., None], landed: list[date], expected: list[date]
) -> None:
    state = lab.lake.tables.state("features")
    keep = {day.isoformat() for day in ANALYSED}
    few = {day: found for day, found in state.partitions.items() if day in keep}
    lab.lake.tables.states["features"] = type(state)(state.name, state.metadata_location, state.snapshot_id, few)  # type: ignore[attr-defined]
    for day in [*ANALYSED, *landed]:
        land_drops(s3.put, lab.pipeline, day, day)

    plan = plan_history(lab.lake, ANALYSED[0], ANALYSED[-1])

    assert plan.young == tuple(expected)
    assert plan.missing == (LAST - timedelta(days=1),)
