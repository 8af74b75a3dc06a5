"""
The newest date. Production follows it and no other, so that a backfill never replaces a newer model.

A date is the newest when no later date is decided or has a complete drop. A refused drop is not complete: its date can have no
decision, and older dates must not wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from perennial.calendar import DAY, parse_date
from perennial.clean.refusals import refused_dates
from perennial.collect.deadline import deadlines
from perennial.collect.drops import newest_whole, whole_dates
from perennial.collect.manifest import FILE
from perennial.errors import DateRefusedError
from perennial.evaluate.chain import Chain
from perennial.lake.lake import Lake

NO_DECISION = (
    "has landed but has no decision. Run that date. Until it has a decision, or its drop is refused, older dates are not deployed"
)


@dataclass(frozen=True, slots=True)
class Later:
    """
    The drops that landed for dates after a certain one.

    :param waiting: the newest of these dates that has landed from every source and is not refused
    :param refused: the dates after `waiting` whose drop is refused, with the reason
    """

    waiting: date | None = None
    refused: Mapping[date, str] = field(default_factory=dict)


def later_drops(lake: Lake, day: date) -> Later:
    """
    Return the drops of the dates after `day`.

    A drop dated in the future is somebody's mistake: no run could take its place, and it would keep every deploy from happening.
    """
    named = sorted(set.intersection(*(_landed(lake, source, day) for source in lake.pipeline.sources)), reverse=True)
    refused: dict[date, str] = {}
    for later in named:
        if reason := refused_dates(lake, [later]).get(later):
            refused[later] = reason
        elif whole_dates(lake, [later]):
            return Later(later, refused)
    return Later(None, refused)


def why_not_newest(chain: Chain, later: Later, day: date) -> str | None:
    """Return why `day` is not the newest date (a later decision, or a later complete drop), or None when it is. Pure."""
    if chain.days and chain.days[-1] > day:
        return f"{day} is not the newest date: {chain.days[-1]} is decided"
    if later.waiting is not None and later.waiting > day:
        return f"{day} is not the newest date: {later.waiting} {NO_DECISION}"
    return None


def look_later(lake: Lake, chain: Chain, day: date) -> Later:
    """Return the drops after `day`; none are looked for where a later date is decided, which settles the question."""
    return Later() if chain.days and chain.days[-1] > day else later_drops(lake, day)


def is_newest(lake: Lake, chain: Chain, day: date) -> bool:
    """Tell whether a date is the newest."""
    return why_not_newest(chain, look_later(lake, chain, day), day) is None


def newest_to_run(lake: Lake, day: date, now: datetime) -> date:
    """
    Return `day` while it may still land, else the newest date up to it that has landed from every source and is not refused.

    When there is none, it is `day`, whose run then says what is missing.
    """
    if now < min(deadlines(lake.pipeline, day).values()):
        return day
    found = newest_whole(lake, day)
    while found is not None and refused_dates(lake, [found]):
        found = newest_whole(lake, found - DAY)
    return found or day


def _landed(lake: Lake, source: str, after: date) -> set[date]:
    """Return the dates after `after` whose manifest is in the landing zone."""
    before, _, behind = lake.pipeline.sources[source].uri.partition("{date}")
    address = re.compile(re.escape(before) + "([0-9-]{10})" + re.escape(behind + FILE))
    calendar = lake.pipeline.calendar
    today = calendar.local_date(datetime.now(UTC))
    last = min(lake.pipeline.end or today, today)
    found = set()
    for uri in lake.objects.list(before):
        if named := address.fullmatch(uri):
            try:
                day = parse_date(named.group(1))
            except DateRefusedError:
                continue  # a folder that only looks like a date holds no drop
            if after < day <= last and not calendar.data_days.rests(day):
                found.add(day)
    return found
