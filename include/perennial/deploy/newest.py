"""
The newest date. Only this date is deployed, so a backfill never replaces a newer model.

A date is the newest if no later date has a decision, and no later date has a complete drop that can be decided. Older dates do
not wait for a date whose drop is refused or whose training is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from perennial.analyse.pending import changes_read, find_changes
from perennial.calendar import DAY, parse_date
from perennial.clean.refusals import refused_dates
from perennial.collect.deadline import deadlines
from perennial.collect.drops import complete_dates, latest_complete
from perennial.collect.manifest import FILE
from perennial.errors import DateRefusedError
from perennial.evaluate.chain import Chain
from perennial.lake.lake import Lake
from perennial.train.history import usable_history
from perennial.train.plan import skipped_before

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


def later_drops(lake: Lake, chain: Chain, day: date) -> Later:
    """
    Return the drops of the dates after `day`; empty if a later date has a decision, because that settles the question.

    A drop dated in the future is a mistake and is ignored. No run could decide it, so it would block every deploy.
    """
    if chain.days and chain.days[-1] > day:
        return Later()
    landed = sorted(set.intersection(*(_landed_dates(lake, source, day) for source in lake.pipeline.sources)))
    if not landed:
        return Later()
    # The newest of them nearly always waits. That settles it, so the drops before it, perhaps a year of them, are not read.
    newest = _sort_out(lake, landed[-1:])
    return newest if newest.waiting else _sort_out(lake, landed)


def _sort_out(lake: Lake, landed: Collection[date]) -> Later:
    """Separate landed dates into the newest that waits for its run, and those after it that no date waits for."""
    refused = refused_dates(lake, landed)
    complete = complete_dates(lake, set(landed) - refused.keys())
    untrained = untrained_dates(lake, complete)
    waiting = max(complete - untrained.keys(), default=None)

    def after(reasons: Mapping[date, str], prefix: str = "") -> dict[date, str]:
        return {d: prefix + reasons[d] for d in sorted(reasons, reverse=True) if waiting is None or d > waiting}

    return Later(waiting, after(refused), after(untrained, "insufficient history to train, "))


def untrained_dates(lake: Lake, landed: Collection[date]) -> dict[date, str]:
    """
    Return the landed dates that training skips, each with the reason: by their number of dates, or because of their rows.

    Dates are counted as if all that landed were analysed. Only a training shows that its rows have one label. This counts until
    something that it depends on lands, or would be cleaned or analysed again: then the date has to run to show it.
    """
    calendar, usable = lake.pipeline.calendar, usable_history(lake, landed)
    reasons = {day: calendar.split(day, usable).too_little or "" for day in landed}
    skipped = {day: reason for day in landed if not reasons[day] and (reason := skipped_before(lake, day))}
    if skipped:
        lake = lake.at_one_moment()
        changes = find_changes(lake, min(skipped), max(skipped))
        reasons |= {day: reason for day, reason in skipped.items() if not changes_read(lake, changes, day, day)}
    return {day: reason for day, reason in reasons.items() if reason}


def why_not_newest(chain: Chain, later: Later, day: date) -> str | None:
    """Return why `day` is not the newest date (a later decision or a later complete drop), or None if it is. Pure."""
    if chain.days and chain.days[-1] > day:
        return f"{day} is not the newest date: {chain.days[-1]} has a decision"
    if later.waiting is not None and later.waiting > day:
        return f"{day} is not the newest date: {later.waiting} {NO_DECISION}"
    return None


def is_newest(lake: Lake, chain: Chain, day: date) -> bool:
    """Return whether a date is the newest."""
    return why_not_newest(chain, later_drops(lake, chain, day), day) is None


def newest_to_run(lake: Lake, day: date, now: datetime) -> date:
    """
    Return `day` while it may still land, else the newest date up to it that has landed from every source and is not refused.

    If no date has, return `day`; its run then reports what is missing.
    """
    if now < min(deadlines(lake.pipeline, day).values()):
        return day
    lake = lake.at_one_moment()  # one listing serves all dates of a month
    newest = latest_complete(lake, day)
    while newest is not None and refused_dates(lake, [newest]):
        newest = latest_complete(lake, newest - DAY)
    return newest or day


def _landed_dates(lake: Lake, source: str, after: date) -> set[date]:
    """Return the dates after `after` whose manifest is in the landing zone."""
    prefix, _, suffix = lake.pipeline.sources[source].uri.partition("{date}")
    manifest = re.compile(re.escape(prefix) + "([0-9-]{10})" + re.escape(suffix + FILE))
    calendar = lake.pipeline.calendar
    today = calendar.local_date(datetime.now(UTC))
    last = min(lake.pipeline.end or today, today)
    dates = set()
    for uri in lake.objects.list(prefix):
        if match := manifest.fullmatch(uri):
            try:
                day = parse_date(match.group(1))
            except DateRefusedError:
                continue  # a folder whose name only looks like a date holds no drop
            if after < day <= last and not calendar.data_days.rests(day):
                dates.add(day)
    return dates
