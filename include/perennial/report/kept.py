"""The stored pages of reports: one for each range of dates. Airflow shows the newest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from perennial.lake.lake import Lake


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored page, and the time of its last write."""

    page: str
    at: datetime


def keep(lake: Lake, first: date, last: date, page: str) -> None:
    """Store the page of a range in place of the previous one. Nothing depends on it: either of two writers may win."""
    uri = lake.layout.report(first, last)
    previous = lake.objects.head(uri)
    lake.objects.replace(uri, page.encode(), previous.etag if previous else None)


def newest(lake: Lake) -> Kept | None:
    """Return the page that was written last, or None."""
    pages = lake.objects.listing(lake.layout.reports)
    if not pages:
        return None
    last = max(pages, key=lambda item: item.at)
    return Kept(lake.objects.read_existing(last.uri).body.decode(), last.at)
