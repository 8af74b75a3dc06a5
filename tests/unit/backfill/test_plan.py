"""What the plan of a backfill says of a range of dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from lab import LAST, Lab

from perennial.backfill.plan import plan_history
from perennial.calendar import days
from perennial.errors import DateRefusedError

DATES = [LAST - timedelta(days=2), LAST]
"""Two landed dates; each trains on eight dates, itself included."""

HISTORY = [LAST - timedelta(days=back) for back in range(3, 9)]
"""With these, both dates have enough history; without the last of them, only the later one."""


def test_dates_that_have_not_begun_are_refused(lab: Lab) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(DateRefusedError, match="is in the future"):
        plan_history(lab.lake, LAST, tomorrow)


@pytest.mark.parametrize(
    ("landed", "young"),
    [([], DATES), (HISTORY[:3], DATES), (HISTORY, DATES[:1]), ([*HISTORY, HISTORY[-1] - timedelta(days=1)], [])],
    ids=["nothing more", "too few", "enough for the later", "enough for both"],
)
@pytest.mark.parametrize("is_analysed", [False, True])
def test_insufficient_history_is_counted_over_all_that_landed(
    lab: Lab, s3: Any, land_drops: Callable[..., None], landed: list[date], young: list[date], is_analysed: bool
) -> None:
    """Whether runs have worked in it plays no part in the count; a date whose run still has work is in a batch all the same."""
    lab.lake.tables.states.clear()  # type: ignore[attr-defined]
    for day in [*DATES, *landed]:
        land_drops(s3.put, lab.pipeline, day, day)
    for day in DATES if is_analysed else []:
        lab.settle(day)

    plan = plan_history(lab.lake, DATES[0], DATES[-1])

    assert plan.young == tuple(young)
    assert plan.missing == (LAST - timedelta(days=1),)
    todo = [day for day in DATES if not (is_analysed and day in young)]
    assert [day for first, last in plan.batches for day in days(first, last)] == todo
