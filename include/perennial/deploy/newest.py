"""
The newest date. Only this date is deployed, so a backfill never replaces a newer model.

A date is the newest if no later date has a decision, and no later date has a complete drop that can be decided. Older dates do
not wait for a date whose drop is refused or whose training is skipped.
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
    The drops that landed for dates after a given date.

    :param waiting: the newest of these dates that has landed from every source, is not refused and has enough history
    :param refused: the dates after `waiting` whose drop is refused, with the reason
    :param untrained: the dates after `waiting` with insufficient history to train, with the reason
    """

    waiting: date | None = None
    refused: Mapping[date, str] = field(default_factory=dict)
    untrained: Mapping[date, str] = field(default_factory=dict)

    def describe_untrained(self) -> str:
        """Name the newest date with insufficient history and count the others, because a pausing feed leaves many."""
        if not self.untrained:
            return ""
        newest, more = max(self.untrained), len(self.untrained) - 1
        return f"{newest}: {self.untrained[newest]}{f', and {more} more before it' if more else ''}"


def later_drops(lake: Lake, day: date) -> Later:
    """
    Return the drops of the dates after `day`.

    A drop dated in the future is a mistake and is ignored. No run could decide it, so it would block every deploy.
    """
    landed = sorted(set.intersection(*(_landed_dates(lake, source, day) for source in lake.pipeline.sources)), reverse=True)
    refused: dict[date, str] = {}
    untrained: dict[date, str] = {}
    for later in landed:
        if reason := refused_dates(lake, [later]).get(later):
            refused[later] = reason
        elif complete_dates(lake, [later]):
            if (reason := lacks_history(lake, later)) is None:
                return Later(later, refused, untrained)
            untrained[later] = reason
    return Later(None, refused, untrained)


def lacks_history(lake: Lake, day: date) -> str | None:
    """
    Return why training would skip a landed date even if everything that has landed were analysed, or None if it would not.

    The answer does not depend on what has run so far, nor on the order of a backfill. If a gap is filled later, the date counts
    again.
    """
    calendar, features = lake.pipeline.calendar, lake.tables.state("features")
    dates = calendar.feature_dates(day)
    # Features of a drop that was deleted from the landing zone are still used.
    kept = {d for d in dates if features.get(d) is not None}
    history = (complete_dates(lake, dates) | kept) - refused_dates(lake, dates).keys()
    reason = calendar.split(day, history).too_little
    return f"insufficient history to train, {reason}" if reason else None


def why_not_newest(chain: Chain, later: Later, day: date) -> str | None:
    """Return why `day` is not the newest date (a later decision or a later complete drop), or None if it is. Pure."""
    if chain.days and chain.days[-1] > day:
        return f"{day} is not the newest date: {chain.days[-1]} has a decision"
    if later.waiting is not None and later.waiting > day:
        return f"{day} is not the newest date: {later.waiting} {NO_DECISION}"
    return None


def look_later(lake: Lake, chain: Chain, day: date) -> Later:
    """Return the drops after `day`. Skip the search if a later date has a decision, because that settles the question."""
    return Later() if chain.days and chain.days[-1] > day else later_drops(lake, day)


def is_newest(lake: Lake, chain: Chain, day: date) -> bool:
    """Return whether a date is the newest."""
    return why_not_newest(chain, look_later(lake, chain, day), day) is None


def newest_to_run(lake: Lake, day: date, now: datetime) -> date:
    """
    Return `day` while it may still land, else the newest date up to it that has landed from every source and is not refused.

    If no date has, return `day`; its run then reports what is missing.
    """
    if now < min(deadlines(lake.pipeline, day).values()):
        return day
    newest = latest_complete(lake, day)
    while newest is not None and refused_dates(lake, [newest]):
        newest = latest_complete(lake, newest - DAY)
    return newest or day


def _landed_dates(lake: Lake, source: str, after: date) -> set[date]:
    """Return the dates after `after` whose manifest is in the landing zone."""
    before, _, behind = lake.pipeline.sources[source].uri.partition("{date}")
    address = re.compile(re.escape(before) + "([0-9-]{10})" + re.escape(behind + FILE))
    calendar = lake.pipeline.calendar
    today = calendar.local_date(datetime.now(UTC))
    last = min(lake.pipeline.end or today, today)
    dates = set()
    for uri in lake.objects.list(before):
        if named := address.fullmatch(uri):
            try:
                day = parse_date(named.group(1))
            except DateRefusedError:
                continue  # a folder whose name only looks like a date holds no drop
            if after < day <= last and not calendar.data_days.rests(day):
                dates.add(day)
    return dates
