"""What Spark's jobs cost, shared by their dates; and the page that the lake keeps."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta

import pytest
from lab import LAST, Lab

from perennial.report.costs import Cost, spark_costs
from perennial.report.kept import keep, newest


def spent(lab: Lab, stage: str, dates: list[date], seconds: float, cpu_seconds: float | None, digest: str) -> None:
    texts = [day.isoformat() for day in dates]
    body = json.dumps({"dates": texts, "seconds": seconds, "cpu_seconds": cpu_seconds}).encode()
    lab.lake.objects.create(lab.lake.layout.cost(stage, texts[0], texts[-1], digest), body)


def wait_for_a_later_second(lab: Lab) -> None:
    """Wait until the store writes a later time than on what it has: a listing tells whole seconds."""
    newest = max(item.at for item in lab.lake.objects.listing(lab.lake.layout.root))
    probe = f"{lab.lake.layout.root}/clock/"
    for attempt in range(200):
        lab.lake.objects.create(f"{probe}{attempt}", b"")
        if max(item.at for item in lab.lake.objects.listing(probe)) > newest:
            return
        time.sleep(0.02)
    raise AssertionError("the store's clock stands still")


def test_a_job_is_shared_by_its_dates_and_the_latest_of_a_date_counts(lab: Lab) -> None:
    one, two, three = (LAST - timedelta(days=back) for back in (2, 1, 0))
    spent(lab, "analyse", [one, two, three], 30.0, 45.0, "a")
    spent(lab, "clean", [two], 8.0, None, "b")
    wait_for_a_later_second(lab)
    spent(lab, "analyse", [two], 12.0, 20.0, "c")
    assert spark_costs(lab.lake, two, three) == {
        two: {"analyse": Cost(12.0, 20.0), "clean": Cost(8.0, None)},
        three: {"analyse": Cost(10.0, 15.0)},
    }


@pytest.mark.parametrize("page", ["<p>first", "<p>second"])
def test_the_newest_page_of_a_range_is_kept(lab: Lab, page: str) -> None:
    assert newest(lab.lake) is None
    keep(lab.lake, LAST, LAST, "<p>before")
    keep(lab.lake, LAST, LAST, page)
    found = newest(lab.lake)
    assert found is not None
    assert found.page == page
