"""
The newest date. Production follows it and no other, so that a backfill never replaces a newer model.

A date is the newest when no later date is decided, and none has a complete drop that can be decided. Older dates do not wait for
a date whose drop is refused, nor for one that training skips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from perennial.calendar import DAY, parse_date
from perennial.clean.refusals import refused_dates
from perennial.collect.deadline import deadlines
from perennial.collect.drops import complete_dates, latest_complete
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

    :param waiting: the newest of these dates that has landed from every source, is not refused and has enough history
    :param refused: the dates after `waiting` whose drop is refused, with the reason
    :param untrained: the dates after `waiting` that have too little history to train, with the reason
    """

    waiting: date | None = None
    refused: Mapping[date, str] = field(default_factory=dict)
    untrained: Mapping[date, str] = field(default_factory=dict)

    def describe_untrained(self) -> str:
        """Name the newest date with too little history and the number of others: a feed that pauses leaves many."""
        if not self.untrained:
            return ""
        newest, more = max(self.untrained), len(self.untrained) - 1
        return f"{newest}: {self.untrained[newest]}{f', and {more} before it' if more else ''}"


def later_drops(lake: Lake, day: date) -> Later:
    """
    Return the drops of the dates after `day`.

    A drop dated in the future is somebody's mistake: no run could take its place, and it would keep every deploy from happening.
    """
    named = sorted(set.intersection(*(_landed(lake, source, day) for source in lake.pipeline.sources)), reverse=True)
    refused: dict[date, str] = {}
    untrained: dict[date, str] = {}
    for later in named:
        if reason := refused_dates(lake, [later]).get(later):
            refused[later] = reason
        elif complete_dates(lake, [later]):
            if (reason := lacks_history(lake, later)) is None:
                return Later(later, refused, untrained)
            untrained[later] = reason
    return Later(None, refused, untrained)


def lacks_history(lake: Lake, day: date) -> str | None:
    """
    Return why training skips a landed date even once all that has landed is analysed, or None when it does not.

    What has run so far plays no part, so the answer does not depend on the order of a backfill. A gap may still be filled: then
    the date counts again.
    """
    calendar, features = lake.pipeline.calendar, lake.tables.state("features")
    dates = calendar.feature_dates(day)
    kept = {d for d in dates if features.get(d) is not None}  # a drop that has left the landing zone is used as it was
    history = (complete_dates(lake, dates) | kept) - refused_dates(lake, dates).keys()
    reason = calendar.split(day, history).too_little
    return f"too little history to train, {reason}" if reason else None


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
    found = latest_complete(lake, day)
    while found is not None and refused_dates(lake, [found]):
        found = latest_complete(lake, found - DAY)
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
