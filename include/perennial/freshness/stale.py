"""The freshness of decisions: which dates a correction of old data concerns, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from perennial.analyse.keys import REFERENCE
from perennial.analyse.plan import LABELS, unanalysed
from perennial.calendar import DAY
from perennial.clean.plan import unclean
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import landed_drops, landed_reference
from perennial.collect.uncollected import uncollected_dates
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.fingerprints.keys import Category, StaleCause
from perennial.lake.lake import Lake
from perennial.store.json_value import Json
from perennial.train.plan import chains_begin, too_little_history

INCUMBENT = "its incumbent or anchor is no longer the one it was judged against"


class Status(StrEnum):
    """The state of a decision beside the present data, code, configuration and libraries."""

    FRESH = "fresh"
    STALE = "stale"
    BLOCKED = "blocked"
    """Stale, and it cannot be judged again: its drop is refused or deleted, its date rests, or its history is too short."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The status of a decision; unless it is fresh, the causes by category, and the reason in one sentence."""

    status: Status
    causes: tuple[StaleCause, ...] = ()
    reason: str = ""

    @property
    def is_blocked(self) -> bool:
        """Tell whether the date cannot be judged again."""
        return self.status is Status.BLOCKED


FRESH = Freshness(Status.FRESH)


@dataclass(frozen=True, slots=True)
class _Change:
    """A day of a table that would come out otherwise; day None: a reference, which every date uses."""

    table: str
    day: date | None

    def __str__(self) -> str:
        return f"{self.table} of {self.day}" if self.day else self.table


def stale_dates(lake: Lake, first: date = date.min, last: date = date.max) -> dict[date, Freshness]:
    """Return, in order, the decided dates from `first` to `last` that are not fresh."""
    return {day: one for day, one in freshness_of_dates(lake, first, last).items() if one.status is not Status.FRESH}


def freshness_of_dates(lake: Lake, first: date, last: date) -> dict[date, Freshness]:
    """
    Return, in order, the freshness of the decided dates from `first` to `last`.

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
    return {day: blocked.get(day) or _freshness(lake, chain, day, begins[day], changes) for day in decided}


def to_json(stale: Mapping[date, Freshness]) -> list[Json]:
    """Return stale dates as JSON values."""
    return [
        {
            "date": day.isoformat(),
            "reason": one.reason,
            "blocked": one.is_blocked,
            "changes": [{"category": cause.category.value, "of": cause.what} for cause in one.causes],
        }
        for day, one in stale.items()
    ]


def _blocked(lake: Lake, decided: list[date]) -> dict[date, Freshness]:
    """Return the dates whose own drop is refused or has left the landing zone, that rest by now, or whose history cannot suffice."""
    found = {day: _block(reason) for day, reason in refused_dates(lake, decided).items()}
    for name in lake.pipeline.sources:
        gone = set(decided) - landed_drops(lake, name, decided).keys()
        found |= dict.fromkeys(gone, _block(f"its drop of {name} has left the landing zone"))
    found = _short(lake, decided) | found
    rest = [day for day in decided if lake.pipeline.calendar.data_days.rests(day)]
    return found | dict.fromkeys(rest, _block("it is a rest date by now: no run judges it again", Category.CONFIGURATION))


def _block(reason: str, category: Category = Category.DATA) -> Freshness:
    return Freshness(Status.BLOCKED, (StaleCause(category),), reason)


def _short(lake: Lake, decided: list[date]) -> dict[date, Freshness]:
    """Return the dates that could not be trained even if everything that has landed were analysed: an edit asks for more history."""
    calendar = lake.pipeline.calendar
    wanted = [*calendar.feature_dates(decided[0]), *calendar.dates(decided[0] + DAY, decided[-1])]
    landed = set.intersection(*(set(landed_drops(lake, name, wanted)) for name in lake.pipeline.sources))
    possible = landed | set(map(date.fromisoformat, lake.tables.state("features").partitions))
    reasons = {day: calendar.split(day, possible).too_little for day in decided}
    return {day: _too_short(reason) for day, reason in reasons.items() if reason}


def _too_short(reason: str) -> Freshness:
    return _block(f"its history no longer suffices: {reason}")


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


def _freshness(lake: Lake, chain: Chain, day: date, begins: date, changes: list[_Change]) -> Freshness:
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

    concerned = [change for change in changes if concerns(change)]
    if concerned:
        causes = tuple(StaleCause(Category.DATA, str(change)) for change in concerned)
        more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
        return Freshness(Status.STALE, causes, f"{causes[0].what} has changed{more}")
    if reason := too_little_history(lake, day):
        return _too_short(reason)
    entry = chain.get(day)
    if entry is not None and entry.stale:
        return Freshness(Status.STALE, (StaleCause(Category.DEPENDENCIES, "the incumbent or anchor"),), INCUMBENT)
    if is_current(lake, day):
        return FRESH
    since = changes_since(lake, day)
    return Freshness(Status.STALE, since, f"other than when it was judged: {describe(since)}")
