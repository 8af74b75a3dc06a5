"""Is a date the newest? Production follows the newest date only, so that a backfill never replaces a newer model."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from perennial.calendar import parse_date
from perennial.collect.drops import whole_dates
from perennial.collect.manifest import FILE
from perennial.errors import DateRefusedError
from perennial.evaluate.chain import Chain
from perennial.lake.lake import Lake


def why_not_newest(lake: Lake, chain: Chain, day: date) -> str | None:
    """
    Return why `day` is not the newest date (a later decision, or a later complete drop), or None when it is.

    A drop dated in the future is somebody's mistake: no run could take its place, and it would keep every deploy from happening.
    """
    decided = [later for later in chain.days if later > day]
    if decided:
        return f"{day} is not the newest date: {decided[-1]} is decided"
    named = set.intersection(*(_landed(lake, source, day) for source in lake.pipeline.sources))
    for later in sorted(named, reverse=True):
        # What only has the name of a manifest is nobody's drop: it would keep every deploy from happening.
        if whole_dates(lake, [later]):
            return f"{day} is not the newest date: {later} has landed"
    return None


def _landed(lake: Lake, source: str, after: date) -> set[date]:
    """Return the dates after `after` whose manifest stands in the landing zone."""
    before, _, behind = lake.pipeline.sources[source].uri.partition("{date}")
    address = re.compile(re.escape(before) + "([0-9-]{10})" + re.escape(behind + FILE))
    today = lake.pipeline.calendar.local_date(datetime.now(UTC))
    last = min(lake.pipeline.end or today, today)
    found = set()
    for uri in lake.objects.list(before):
        if named := address.fullmatch(uri):
            try:
                day = parse_date(named.group(1))
            except DateRefusedError:
                continue  # a folder that only looks like a date is nobody's drop
            if after < day <= last:
                found.add(day)
    return found
