"""What has landed: the newest whole drop."""

from __future__ import annotations

from datetime import date

from perennial.collect.drops import latest_complete, newest_landed
from perennial.lake.lake import Lake

FIRST, LAST, UPTO = date(2026, 3, 1), date(2026, 3, 3), date(2026, 5, 31)


def test_nothing_has_landed(lake: Lake) -> None:
    assert newest_landed(lake, "readings", UPTO) is None


def test_newest_is_the_last_with_a_manifest(lake: Lake, s3, land) -> None:
    land(FIRST, LAST)
    s3.put(lake.pipeline.sources["readings"].drop_uri(date(2026, 3, 4)) + "half.csv", b"x")
    s3.put(lake.pipeline.sources["readings"].uri.replace("{date}", "no-date") + "_MANIFEST.json", b"{}")
    assert newest_landed(lake, "readings", UPTO) == LAST


def test_what_only_has_the_name_of_a_manifest_has_not_landed(lake: Lake, s3, land) -> None:
    land(FIRST, LAST)
    s3.put(lake.pipeline.sources["readings"].drop_uri(date(2026, 3, 4)) + "_MANIFEST.json", b"oops")
    assert newest_landed(lake, "readings", UPTO) == LAST


def test_what_is_dated_later_is_not_looked_at(lake: Lake, land) -> None:
    land(FIRST, LAST)
    land(date(2026, 6, 1), date(2026, 6, 2))
    assert newest_landed(lake, "readings", UPTO) == LAST
    assert latest_complete(lake, UPTO) == LAST
    assert latest_complete(lake, date(2026, 6, 1)) == date(2026, 6, 1)
