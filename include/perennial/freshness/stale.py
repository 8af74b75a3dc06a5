"""The freshness of decisions: the decided dates that a change of data, code, configuration or libraries affects, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from perennial.analyse.pending import Change, changes_read, find_changes
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import landed_drops, unfit_drops
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.lake.lake import Lake
from perennial.store.json_value import Json
from perennial.train.history import skip_reason, untrainable_dates
from perennial.train.plan import skipped_before, warm_start_origins

INCUMBENT = "its incumbent or anchor has changed since it was judged"
UNSIGNED = "its decision has no signature of a trusted key: the run ended before it signed, or someone wrote it"


class Status(StrEnum):
    """The state of a decision, given the present data, code, configuration and libraries."""

    FRESH = "fresh"
    STALE = "stale"
    BLOCKED = "blocked"
    """Stale, and cannot be judged again: no fitting drop, a rest date, or insufficient history."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The status of a decision. If it is not fresh: the causes by category, and the reason in one sentence."""

    status: Status
    causes: tuple[StaleCause, ...] = ()
    reason: str = ""

    @property
    def is_blocked(self) -> bool:
        """Return whether the date cannot be judged again."""
        return self.status is Status.BLOCKED


FRESH = Freshness(Status.FRESH)


def stale_dates(lake: Lake, first: date = date.min, last: date = date.max) -> dict[date, Freshness]:
    """Return, in order, the decided dates from `first` to `last` that are not fresh."""
    return {day: state for day, state in freshness_of_dates(lake, first, last).items() if state.status is not Status.FRESH}


def freshness_of_dates(lake: Lake, first: date, last: date) -> dict[date, Freshness]:
    """
    Return, in order, the freshness of the decided dates from `first` to `last`.

    A date depends on a day of a source if that day lies in its training window, its holdout or the lookback of either, or in the
    days after them that their labels wait for. With a warm start, a date also depends on the days of the dates whose weights its
    trainings start from.
    """
    lake = lake.at_one_moment()
    chain = read_chain(lake)
    decided = [day for day in chain.days if first <= day <= last]
    if not decided:
        return {}
    changes = find_changes(lake, decided[0], decided[-1])
    blocked = _find_blocked(lake, decided)
    origins = warm_start_origins(lake, decided)
    return {day: blocked.get(day) or _freshness(lake, chain, day, origins[day], changes) for day in decided}


def to_json(stale: Mapping[date, Freshness]) -> list[Json]:
    """Return stale dates as JSON values."""
    return [
        {
            "date": day.isoformat(),
            "reason": freshness.reason,
            "blocked": freshness.is_blocked,
            "changes": [{"category": cause.category.value, "of": cause.what} for cause in freshness.causes if cause.what],
        }
        for day, freshness in stale.items()
    ]


def _find_blocked(lake: Lake, decided: list[date]) -> dict[date, Freshness]:
    """Return the dates that cannot be judged again, each with its reason (see Status.BLOCKED). A later reason here wins."""
    blocked = {day: _block_short(reason) for day, reason in untrainable_dates(lake, decided).items()}
    blocked |= {day: _block(reason) for day, reason in refused_dates(lake, decided).items()}
    for name in lake.pipeline.sources:
        for day, problems in unfit_drops(lake, name, decided).items():
            more = f", and {len(problems) - 1} more problems" if len(problems) > 1 else ""
            reason = f"its drop of {name} breaks the present contract: {problems[0]}{more}"
            blocked[day] = _block(reason, Category.CONFIGURATION)
        deleted = set(decided) - landed_drops(lake, name, decided).keys()
        blocked |= dict.fromkeys(deleted, _block(f"its drop of {name} is no longer in the landing zone"))
    rest = [day for day in decided if lake.pipeline.calendar.data_days.rests(day)]
    return blocked | dict.fromkeys(rest, _block("it is a rest date now: no run judges it again", Category.CONFIGURATION))


def _block(reason: str, category: Category = Category.DATA) -> Freshness:
    return Freshness(Status.BLOCKED, (StaleCause(category),), reason)


def _block_short(reason: str) -> Freshness:
    return _block(f"its history is no longer sufficient: {reason}")


def _freshness(lake: Lake, chain: Chain, day: date, origin: date, changes: list[Change]) -> Freshness:
    """
    Return the freshness of a decided date that is not blocked by its own drop.

    :param origin: the first date whose training the date depends on
    """
    # Imported here because they import numpy.
    from perennial.evaluate.changes import describe
    from perennial.evaluate.recorded import changes_since, is_current

    if relevant := changes_read(lake, changes, day, origin):
        causes = tuple(StaleCause(Category.DATA, str(change)) for change in relevant)
        more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
        return Freshness(Status.STALE, causes, f"{causes[0].what} has changed{more}")
    if reason := skip_reason(lake, day):
        return _block_short(reason)
    entry = chain.get(day)
    is_overtaken = entry is not None and entry.stale
    if not is_overtaken and is_current(lake, day):
        return FRESH
    if reason := skipped_before(lake, day):
        return _block_short(reason)
    if is_overtaken:
        return Freshness(Status.STALE, (StaleCause(Category.DEPENDENCIES, "the incumbent or anchor"),), INCUMBENT)
    if not (causes := changes_since(lake, day)):
        return Freshness(Status.STALE, (StaleCause(Category.DEPENDENCIES, "the signature"),), UNSIGNED)
    return Freshness(Status.STALE, causes, f"changed since it was judged: {describe(causes)}")
