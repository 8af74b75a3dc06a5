"""The freshness of decisions: find exactly the dates that a correction of old data affects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from perennial.analyse.fingerprints import REFERENCE
from perennial.analyse.plan import LABELS, unanalysed
from perennial.calendar import DAY
from perennial.clean.plan import unclean
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import landed_drops, landed_reference
from perennial.collect.uncollected import uncollected_dates
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.lake.lake import Lake
from perennial.store.json_value import Json
from perennial.train.plan import chains_begin, skipped_before, too_little_history

INCUMBENT = "its incumbent or anchor has changed since it was judged"


class Status(StrEnum):
    """The state of a decision, given the present data, code, configuration and libraries."""

    FRESH = "fresh"
    STALE = "stale"
    BLOCKED = "blocked"
    """Stale, and cannot be judged again: its drop is refused or deleted, it is a rest date, or its history insufficient."""


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


@dataclass(frozen=True, slots=True)
class _Change:
    """A day of a table whose content would change; day None: a reference, which every date uses."""

    table: str
    day: date | None

    def __str__(self) -> str:
        return f"{self.table} of {self.day}" if self.day else self.table


def stale_dates(lake: Lake, first: date = date.min, last: date = date.max) -> dict[date, Freshness]:
    """Return, in order, the decided dates from `first` to `last` that are not fresh."""
    return {day: state for day, state in freshness_of_dates(lake, first, last).items() if state.status is not Status.FRESH}


def freshness_of_dates(lake: Lake, first: date, last: date) -> dict[date, Freshness]:
    """
    Return, in order, the freshness of the decided dates from `first` to `last`.

    A date depends on a day of a source if that day lies in its training window, its holdout or the lookback of either, or in the
    days after them that their labels wait for. With a warm start, a date also depends on the days of the dates whose weights it
    begins with.
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
            "reason": freshness.reason,
            "blocked": freshness.is_blocked,
            "changes": [{"category": cause.category.value, "of": cause.what} for cause in freshness.causes if cause.what],
        }
        for day, freshness in stale.items()
    ]


def _blocked(lake: Lake, decided: list[date]) -> dict[date, Freshness]:
    """
    Return the dates that cannot be judged again.

    Their own drop is refused or was deleted from the landing zone, or they are rest dates now, or their history is insufficient.
    """
    blocked = {day: _block(reason) for day, reason in refused_dates(lake, decided).items()}
    for name in lake.pipeline.sources:
        deleted = set(decided) - landed_drops(lake, name, decided).keys()
        blocked |= dict.fromkeys(deleted, _block(f"its drop of {name} is no longer in the landing zone"))
    blocked = _find_short(lake, decided) | blocked
    rest = [day for day in decided if lake.pipeline.calendar.data_days.rests(day)]
    return blocked | dict.fromkeys(rest, _block("it is a rest date now: no run judges it again", Category.CONFIGURATION))


def _block(reason: str, category: Category = Category.DATA) -> Freshness:
    return Freshness(Status.BLOCKED, (StaleCause(category),), reason)


def _find_short(lake: Lake, decided: list[date]) -> dict[date, Freshness]:
    """
    Return the dates that could not be trained even if everything that has landed were analysed.

    This happens when an edit of the configuration requires more history.
    """
    calendar = lake.pipeline.calendar
    wanted = [*calendar.feature_dates(decided[0]), *calendar.dates(decided[0] + DAY, decided[-1])]
    landed = set.intersection(*(set(landed_drops(lake, name, wanted)) for name in lake.pipeline.sources))
    possible = landed | set(map(date.fromisoformat, lake.tables.state("features").partitions))
    reasons = {day: calendar.split(day, possible).too_little for day in decided}
    return {day: _block_short(reason) for day, reason in reasons.items() if reason}


def _block_short(reason: str) -> Freshness:
    return _block(f"its history is no longer sufficient: {reason}")


def _changes(lake: Lake, first: date, last: date) -> Iterator[_Change]:
    """
    Yield what has landed since, and what would be cleaned again.

    If no reference is among these, yield also what would be analysed again: a changed reference already concerns every date.
    """
    pipeline = lake.pipeline
    changes: set[_Change] = set()
    for name in pipeline.sources:
        wanted = [*pipeline.calendar.needed_dates(first), *pipeline.calendar.dates(first + DAY, last)]
        uncollected = uncollected_dates(lake, name, wanted)
        changes |= {_Change(name, day) for day in (*uncollected, *unclean(lake, name, first, last))}
    for name in pipeline.references:
        landed = landed_reference(lake, name)
        is_missing = REFERENCE not in lake.tables.state(f"clean_{name}").partitions
        if is_missing or (landed is not None and (landed.drop is None or unclean(lake, name, first, last))):
            changes.add(_Change(name, None))
    yield from sorted(changes, key=lambda change: (change.day or date.min, change.table))
    if not any(change.day is None for change in changes):
        for table, stale in unanalysed(lake, first, last).items():
            yield from (_Change(table, day) for day in sorted(stale))


def _freshness(lake: Lake, chain: Chain, day: date, begins: date, changes: list[_Change]) -> Freshness:
    # Imported here because they import scikit-learn.
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
        return _block_short(reason)
    entry = chain.get(day)
    is_overtaken = entry is not None and entry.stale
    if not is_overtaken and is_current(lake, day):
        return FRESH
    if reason := skipped_before(lake, day):
        return _block_short(reason)
    if is_overtaken:
        return Freshness(Status.STALE, (StaleCause(Category.DEPENDENCIES, "the incumbent or anchor"),), INCUMBENT)
    since = changes_since(lake, day)
    return Freshness(Status.STALE, since, f"changed since it was judged: {describe(since)}")
