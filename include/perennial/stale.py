"""Which decisions no longer rest on what is there, and why: what is to be run again after a correction of old data, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from perennial.analyse.keys import REFERENCE
from perennial.analyse.plan import LABELS, unanalysed
from perennial.calendar import DAY
from perennial.clean.plan import unclean
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import landed_drops, landed_reference
from perennial.collect.uncollected import uncollected_dates
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.train.plan import chains_begin, too_little_history

if TYPE_CHECKING:
    from perennial.evaluate.changes import Change

INCUMBENT = "its incumbent or anchor is no longer the one it was judged against"


@dataclass(frozen=True, slots=True)
class Stale:
    """
    Why a decision no longer rests on what is there.

    :param is_blocked: its own drop is refused or gone, it is a rest date by now, or its history no longer suffices, so it cannot
        be judged
    :param changes: where a model or the gate would come out otherwise, by category
    """

    reason: str
    is_blocked: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class _Change:
    """A day of a table that would come out otherwise; day None: a reference, which every date uses."""

    table: str
    day: date | None


def stale_dates(lake: Lake, first: date = date.min, last: date = date.max) -> dict[date, Stale]:
    """
    Return, in order, the decided dates from `first` to `last` that no longer rest on what is there, each with the reason.

    A date rests on a day of a source when it lies in its training window, its holdout, the lookback of either, or the days after them
    that their labels wait for; with a warm start also in those of the dates whose weights it begins with.
    """
    lake = lake.at_one_moment()
    chain = read_chain(lake)
    decided = [day for day in chain.days if first <= day <= last]
    if not decided:
        return {}
    changes = list(_changes(lake, decided[0], decided[-1]))
    blocked = _blocked(lake, decided)
    begins = chains_begin(lake, decided)
    found = {day: blocked.get(day) or _stale(lake, chain, day, begins[day], changes) for day in decided}
    return {day: stale for day, stale in found.items() if stale is not None}


def to_json(stale: Mapping[date, Stale]) -> list[dict[str, Any]]:
    """Return stale dates as JSON values."""
    return [
        {
            "date": day.isoformat(),
            "reason": one.reason,
            "blocked": one.is_blocked,
            "changes": [{"category": change.cause.value, "of": change.what} for change in one.changes],
        }
        for day, one in stale.items()
    ]


def _blocked(lake: Lake, decided: list[date]) -> dict[date, Stale]:
    """Return the dates whose drop is refused or has left the landing zone, that rest by now, or whose history cannot suffice."""
    found = {day: Stale(reason, is_blocked=True) for day, reason in refused_dates(lake, decided).items()}
    for name in lake.pipeline.sources:
        gone = set(decided) - landed_drops(lake, name, decided).keys()
        found |= dict.fromkeys(gone, Stale(f"its drop of {name} has left the landing zone", is_blocked=True))
    found = _short(lake, decided) | found
    rest = [day for day in decided if lake.pipeline.calendar.data_days.rests(day)]
    return found | dict.fromkeys(rest, Stale("it is a rest date by now: no run judges it again", is_blocked=True))


def _short(lake: Lake, decided: list[date]) -> dict[date, Stale]:
    """Return the dates that could not be trained even if all that has landed were analysed: an edit asks for more history."""
    calendar = lake.pipeline.calendar
    wanted = [*calendar.feature_dates(decided[0]), *calendar.dates(decided[0] + DAY, decided[-1])]
    landed = set.intersection(*(set(landed_drops(lake, name, wanted)) for name in lake.pipeline.sources))
    possible = landed | set(map(date.fromisoformat, lake.tables.state("features").partitions))
    reasons = {day: calendar.split(day, possible).too_little for day in decided}
    return {day: _too_short(reason) for day, reason in reasons.items() if reason}


def _too_short(reason: str) -> Stale:
    return Stale(f"its history no longer suffices: {reason}", is_blocked=True)


def _changes(lake: Lake, first: date, last: date) -> Iterator[_Change]:
    """Yield what landed since, what would be cleaned anew and, as far as that is nothing, what would be analysed anew."""
    pipeline = lake.pipeline
    found: set[_Change] = set()
    for name in pipeline.sources:
        wanted = [*pipeline.calendar.needed_dates(first), *pipeline.calendar.dates(first + DAY, last)]
        uncollected = uncollected_dates(lake, name, wanted)
        found |= {_Change(name, day) for day in (*uncollected, *unclean(lake, name, first, last))}
    for name in pipeline.references:
        landed = landed_reference(lake, name)
        is_missing = REFERENCE not in lake.tables.state(f"clean_{name}").partitions
        if is_missing or (landed is not None and (landed.drop is None or unclean(lake, name, first, last))):
            found.add(_Change(name, None))
    yield from sorted(found, key=lambda change: (change.day or date.min, change.table))
    if not any(change.day is None for change in found):
        for table, stale in unanalysed(lake, first, last).items():
            yield from (_Change(table, day) for day in sorted(stale))


def _stale(lake: Lake, chain: Chain, day: date, begins: date, changes: list[_Change]) -> Stale | None:
    # Imported here: they bring scikit-learn.
    from perennial.evaluate.changes import describe
    from perennial.evaluate.evaluate import changes_since, is_current

    calendar = lake.pipeline.calendar
    needed, featured = calendar.needed_from(begins), calendar.features_from(begins)

    def concerns(change: _Change) -> bool:
        if change.day is None:
            return True
        if change.table in lake.pipeline.tables:
            return needed <= change.day <= day
        if change.table in ("features", LABELS):
            return featured <= change.day <= calendar.labelled_until(day)
        return featured <= change.day <= (calendar.as_of(day) if change.table.startswith("lookup_") else day)

    own = [change for change in changes if concerns(change)]
    if own:
        more = f", and {len(own) - 1} more" if len(own) > 1 else ""
        return Stale(f"{own[0].table}{f' of {own[0].day}' if own[0].day else ''} has changed{more}")
    if reason := too_little_history(lake, day):
        return _too_short(reason)
    entry = chain.get(day)
    if entry is not None and entry.stale:
        return Stale(INCUMBENT)
    if is_current(lake, day):
        return None
    since = changes_since(lake, day)
    return Stale(f"other than when it was judged: {describe(since)}", changes=since)
