"""
The results that runs would compute, for `perennial impact`: each stage finds its own from those of the stages before it.

Nothing runs: the present fingerprints of results are compared with the stored ones, and no large table is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from perennial.fingerprints.causes import explain
from perennial.fingerprints.fingerprint import Category, Fingerprint, StaleCause
from perennial.fingerprints.recipes import Recipe
from perennial.lake.days import Day, day_text, read_day
from perennial.lake.lake import Lake
from perennial.lake.tables import Partition, Tables, TableState

_UNKNOWN = Partition("", "", 0)
"""A partition that a run would compute: its content is not known yet."""


@dataclass(frozen=True, slots=True)
class Effect:
    """
    One kind of result (drops, a table, a candidate, the decision) and the dates for which it would be computed.

    `missing` dates do not exist yet. `stale` dates exist, but their inputs have changed; each has its causes. A date whose only
    cause is a dependency may stay the same: it is recomputed only if that dependency changes.

    :param withdrawn: the dates whose rows would be withdrawn
    :param keys: the fingerprints that the results would have
    """

    stage: str
    name: str
    missing: frozenset[Day] = frozenset()
    stale: Mapping[Day, tuple[StaleCause, ...]] = field(default_factory=dict)
    withdrawn: frozenset[Day] = frozenset()
    keys: Mapping[Day, Fingerprint] = field(default_factory=dict)

    @property
    def days(self) -> frozenset[Day]:
        """Return all dates that would be computed."""
        return self.missing | frozenset(self.stale)

    @property
    def changed(self) -> frozenset[Day]:
        """Return all dates that would be computed or withdrawn."""
        return self.days | self.withdrawn

    def add_dependents(self, dependencies_of: Callable[[date], list[str]]) -> Effect:
        """Return the effect with the existing dates whose dependencies would be recomputed; the function names these."""
        stale = dict(self.stale)
        for day in self.keys:
            if day is not None and day not in self.missing and (names := dependencies_of(day)):
                stale[day] = (*stale.get(day, ()), *(StaleCause(Category.DEPENDENCIES, name) for name in names))
        return replace(self, stale=stale)


@dataclass(frozen=True, slots=True)
class Scope:
    """
    The runs of `first` to `last`, and what the stages so far would compute in them.

    :param decided: the dates among them that would be trained and judged
    :param foreseen: the lake whose tables also have the dates that do not exist yet, with an empty digest, and no withdrawn ones
    :param found: the effects of each stage
    """

    lake: Lake
    first: date
    last: date
    decided: tuple[date, ...]
    foreseen: Lake
    found: Mapping[str, Sequence[Effect]] = field(default_factory=dict)

    @property
    def needed(self) -> list[date]:
        """Return the dates whose drops the runs may use."""
        return self.lake.pipeline.calendar.needed_dates(self.first, self.last)

    def add(self, stage: str, effects: Sequence[Effect], *, are_tables: bool) -> Scope:
        """Return the scope as the next stage finds it."""
        tables = self.foreseen.tables
        if are_tables:
            tables = _ForeseenTables(tables, {effect.name: effect for effect in effects})
        return replace(self, foreseen=replace(self.foreseen, tables=tables), found={**self.found, stage: effects})


class _ForeseenTables(Tables):
    """Tables as they would be after the effects: with the missing dates, and without the withdrawn ones."""

    def __init__(self, tables: Tables, effects: Mapping[str, Effect]) -> None:
        self._tables, self._effects = tables, effects

    def at_one_moment(self) -> Tables:
        return self

    def state(self, table: str) -> TableState:
        state, effect = self._tables.state(table), self._effects.get(table)
        if effect is None or not (effect.missing or effect.withdrawn):
            return state
        kept = {text: partition for text, partition in state.partitions.items() if read_day(text) not in effect.withdrawn}
        return replace(state, partitions=kept | {day_text(day): _UNKNOWN for day in effect.missing})


def compare(
    stage: str, name: str, keys: Mapping[Any, Fingerprint], stored: Mapping[Any, str], recipes: Mapping[str, Sequence[Recipe]]
) -> Effect:
    """
    Return the days (date; None: a reference) whose result does not exist, or exists under another fingerprint, with the causes.

    :param keys: by day, the fingerprint that the result should have
    :param stored: by day, the fingerprint of the existing result
    """
    known = recipes.get(name, ())
    stale = {day: tuple(explain(key, stored[day], known)) for day, key in keys.items() if day in stored and stored[day] != key}
    return Effect(stage, name, frozenset(day for day in keys if day not in stored), stale, keys=dict(keys))


def stored_keys(lake: Lake, table: str) -> dict[Day, str]:
    """Return the fingerprint of each partition of a table."""
    return {read_day(text): partition.key for text, partition in lake.tables.state(table).partitions.items()}


def overlaps(days: Iterable[Day], first: date, last: date) -> bool:
    """Return whether one of the days lies between two dates, or is a reference."""
    return any(day is None or first <= day <= last for day in days)
