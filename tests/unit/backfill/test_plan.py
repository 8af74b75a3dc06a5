"""What the plan of a backfill says of a range of dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from lab import LAST, Lab

from perennial.backfill.plan import HistoryPlan, plan_history
from perennial.calendar import days
from perennial.commands.backfill import _plan_lines
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
    """The count does not depend on earlier runs. A date whose run still has work to do stays in a batch."""
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


def plan_of(**facts: Any) -> HistoryPlan:
    """Return a plan of three dates, of which the last is the newest."""
    defaults = {"missing": (), "unchanged": (), "stale": {}, "young": (), "batches": (), "deploys": LAST, "rest": 0}
    return HistoryPlan(**{"dates": tuple(days(DATES[0], LAST)), **defaults, "newest": LAST, **facts})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, f"{LAST}"),
        ({"serves": True}, f"{LAST}"),
        ({"unchanged": (LAST,)}, f"{LAST}"),
        ({"unchanged": (LAST,), "serves": True}, f"nothing new, the newest date {LAST} is unchanged and serves already"),
        ({"unchanged": (LAST,), "deploys": None}, f"nothing, the newest date {LAST} does not run again"),
        ({"newest": None, "deploys": None}, "nothing, the newest date is not among these dates"),
    ],
    ids=["new", "stale", "rolled back", "serves", "not stale", "elsewhere"],
)
def test_the_plan_says_what_reaches_the_endpoint(facts: dict[str, Any], text: str) -> None:
    assert f"  reaches the endpoint: {text}" in _plan_lines(plan_of(**facts), None, only_stale=False)


def test_an_unchanged_date_after_one_that_runs_may_be_judged_again() -> None:
    middle = LAST - timedelta(days=1)
    runs = plan_of(unchanged=(DATES[0], LAST), batches=((middle, middle),))
    again = f"  may be judged again: {LAST}; its incumbent may change"
    assert again in _plan_lines(runs, None, only_stale=False)
    both = plan_of(unchanged=(middle, LAST), batches=((DATES[0], DATES[0]),))
    assert f"  may be judged again: {middle} to {LAST}; their incumbent may change" in _plan_lines(both, None, only_stale=False)
    nothing_runs = plan_of(unchanged=(DATES[0], middle, LAST))
    assert not [line for line in _plan_lines(nothing_runs, None, only_stale=False) if "judged again" in line]
