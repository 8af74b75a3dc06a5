"""Until when drops may land, and which date is run when none is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from perennial.collect.collect import collect
from perennial.collect.deadline import deadlines
from perennial.deploy.newest import newest_to_run
from perennial.errors import DropRefusedError
from perennial.lake.lake import Lake

DAY = date(2026, 4, 5)


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Any]) -> Lake:
    """Return a lake of the test pipeline, in New York."""

    def in_new_york(document: dict[str, Any]) -> None:
        document["time_zone"] = "America/New_York"

    found: Lake = s3.open_lake(pipeline_factory(in_new_york))
    return found


def deadline(lake: Lake, day: date) -> datetime:
    (until,) = deadlines(lake.pipeline, day).values()
    return until


def test_deadline_counts_from_the_end_of_the_local_day(lake: Lake) -> None:
    # 2026-03-05 ends in New York at 05:00 UTC.
    assert deadlines(lake.pipeline, date(2026, 3, 5)) == {
        lake.pipeline.sources["readings"].drop_uri(date(2026, 3, 5)) + "_MANIFEST.json": datetime(2026, 3, 6, 11, tzinfo=UTC)
    }


def test_deadline_on_the_day_the_clocks_change(lake: Lake) -> None:
    assert deadline(lake, date(2026, 3, 8)) == datetime(2026, 3, 9, 10, tzinfo=UTC)


def test_a_date_that_may_still_land_is_waited_for(lake: Lake, s3: Any, land_drops: Any) -> None:
    land_drops(s3.put, lake.pipeline, date(2026, 4, 3), date(2026, 4, 3))
    assert newest_to_run(lake, DAY, deadline(lake, DAY) - timedelta(minutes=1)) == DAY


@pytest.mark.parametrize("landed", [DAY, date(2026, 4, 3), date(2026, 3, 2)])
def test_afterwards_it_is_the_newest_that_has_landed(lake: Lake, s3: Any, land_drops: Any, landed: date) -> None:
    land_drops(s3.put, lake.pipeline, landed, landed)
    s3.put(lake.pipeline.sources["readings"].drop_uri(date(2026, 4, 4)) + "_MANIFEST.json", b"{}")
    assert newest_to_run(lake, DAY, deadline(lake, DAY)) == landed


def test_where_nothing_has_landed_it_stays(lake: Lake) -> None:
    assert newest_to_run(lake, DAY, deadline(lake, DAY)) == DAY


def test_what_collect_has_refused_is_passed_over(lake: Lake, s3: Any, land_drops: Any) -> None:
    land_drops(s3.put, lake.pipeline, date(2026, 4, 2), date(2026, 4, 3))
    s3.put(lake.pipeline.sources["readings"].drop_uri(date(2026, 4, 3)) + "readings-1.csv", b"half")
    assert newest_to_run(lake, DAY, deadline(lake, DAY)) == date(2026, 4, 3)
    with pytest.raises(DropRefusedError):
        collect(lake, date(2026, 4, 3))
    assert newest_to_run(lake, DAY, deadline(lake, DAY)) == date(2026, 4, 2)
