"""The pages of reports as the lake keeps them: one for each range of dates, the newest of them shown in Airflow."""

from __future__ import annotations

from datetime import date

from perennial.lake.lake import Lake


def keep(lake: Lake, first: date, last: date, page: str) -> None:
    """Put the page of a range where the one before it stood. Nothing rests on it: whoever writes at the same moment may win."""
    uri = lake.layout.report(first, last)
    found = lake.objects.head(uri)
    lake.objects.replace(uri, page.encode(), found.etag if found else None)


def newest(lake: Lake) -> str | None:
    """Return the page that was written last, or None."""
    pages = lake.objects.listing(lake.layout.reports)
    if not pages:
        return None
    return lake.objects.read_existing(max(pages, key=lambda one: one.at).uri).body.decode()
