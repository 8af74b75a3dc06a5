"""The results that a run would make again, stage by stage, and why. Reads only, and nothing that has many rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from perennial.analyse.keys import REFERENCE
from perennial.analyse.plan import LABELS, analyse_keys
from perennial.calendar import DAY, Split
from perennial.clean.plan import clean_keys
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import decision_key
from perennial.fingerprints.keys import Category, Key, StaleCause
from perennial.fingerprints.recipes import Recipe, read_recipes
from perennial.impact.causes import explain
from perennial.lake.lake import Lake
from perennial.train.plan import training_keys

Day = date | None
"""None: a reference, which every date uses."""
Trainings = Mapping[str, Mapping[date, tuple[Key, Split]]]
"""Keys and dates of the trainings that can be made, by candidate and date."""


@dataclass(frozen=True, slots=True)
class Effect:
    """
    One kind of result (a table, a candidate, the decision) and its dates that would be made.

    `missing` are not there yet; `stale` are there and rest on something else than what is there now, each with the reasons. A date
    whose only reason is a dependency may come out the same: it is made again only if what it rests on does not.
    """

    stage: str
    name: str
    missing: frozenset[Day] = frozenset()
    stale: Mapping[Day, tuple[StaleCause, ...]] = field(default_factory=dict)

    @property
    def days(self) -> frozenset[Day]:
        """Return every date that would be made."""
        return self.missing | frozenset(self.stale)


def find_effects(lake: Lake, first: date, last: date, decided: Collection[date]) -> list[Effect]:
    """
    Return what the runs of `first` to `last` would make, in the order of the stages.

    :param decided: the dates among them that would be trained and judged
    """
    lake = lake.at_one_moment()
    cleaned = _clean(lake, first, last)
    analysed = _analyse(lake, first, last, cleaned) if _references_are_there(lake) else []
    planned: Trainings = {candidate: training_keys(lake, candidate, decided) for candidate in lake.pipeline.training.candidates}
    trained = _train(lake, planned, {effect.name: effect for effect in analysed})
    return [*cleaned, *analysed, *trained, _evaluate(lake, decided, planned, trained)]


def unmade_tables(lake: Lake) -> list[str]:
    """Return the clean tables that have no partition of their kind yet: nothing can be told of what follows from them."""
    return [f"clean_{name}" for name in lake.pipeline.tables if not _has_partition(lake, name)]


def _clean(lake: Lake, first: date, last: date) -> list[Effect]:
    recipes = read_recipes(lake, "clean")
    found = []
    for name in lake.pipeline.tables:
        table = f"clean_{name}"
        stored = {_day(text): partition.key for text, partition in lake.tables.state(table).partitions.items()}
        found.append(_effect("clean", table, clean_keys(lake, name, first, last), stored, recipes))
    return found


def _analyse(lake: Lake, first: date, last: date, cleaned: Sequence[Effect]) -> list[Effect]:
    recipes = read_recipes(lake, "analyse")
    lookback, later = DAY * lake.pipeline.training.lookback_days, DAY * lake.pipeline.label.known_after_days
    found = []
    for table, keys in analyse_keys(lake, first, last).items():
        stored = {_day(text): partition.key for text, partition in lake.tables.state(table).partitions.items()}
        own = _effect("analyse", table, {_day(text): key for text, key in keys.items()}, stored, recipes)
        back = timedelta() if table == "profile" else lookback
        ahead = -DAY if table.startswith("lookup_") else later if table == LABELS else timedelta()

        def rests_on(day: date, back: timedelta = back, ahead: timedelta = ahead) -> list[str]:
            return [effect.name for effect in cleaned if _sees(effect.days, day - back, day + ahead)]

        found.append(_following(own, {_day(text) for text in keys}, rests_on))
    return found


def _train(lake: Lake, planned: Trainings, analysed: Mapping[str, Effect]) -> list[Effect]:
    recipes = read_recipes(lake, "train")
    inputs = {name: analysed[name].days for name in ("features", LABELS) if name in analysed}
    found = []
    for candidate, trainings in planned.items():
        stored = {day: _newest_key(lake, candidate, day, key) for day, (key, _) in trainings.items()}
        keys = {day: key for day, (key, _) in trainings.items()}
        own = _effect("train", candidate, keys, {day: key for day, key in stored.items() if key}, recipes)
        splits = {day: split for day, (_, split) in trainings.items()}

        def rests_on(day: date, splits: Mapping[date, Split] = splits) -> list[str]:
            rows = {*splits[day].window, *splits[day].holdout}
            return [name for name, made in inputs.items() if not made.isdisjoint(rows)]

        found.append(_following(own, keys, rests_on))
    return found


def _newest_key(lake: Lake, candidate: str, day: date, key: Key) -> str | None:
    """Return the present key of a training if its model is there, else that of the newest model of the date."""
    prefix = lake.layout.model_manifest(candidate, day, "x").removesuffix("x.json")
    written = {
        item.uri.removeprefix(prefix).removesuffix(".json"): item.at
        for item in lake.objects.listing(prefix)
        if item.uri.endswith(".json") and "/" not in item.uri.removeprefix(prefix)
    }
    return key if key in written else max(written, key=written.__getitem__, default=None)


def _evaluate(lake: Lake, decided: Collection[date], planned: Trainings, trained: Sequence[Effect]) -> Effect:
    chain = read_chain(lake)
    keys = {}
    for day in decided:
        if all(day in trainings for trainings in planned.values()):
            addresses = {name: lake.layout.model_manifest(name, day, trainings[day][0]) for name, trainings in planned.items()}
            keys[day] = decision_key(lake, day, chain, addresses)
    stored = {day: entry.key for day in keys if (entry := chain.get(day)) is not None}
    own = _effect("evaluate", "decision", keys, stored, read_recipes(lake, "evaluate"))

    def rests_on(day: date) -> list[str]:
        return [effect.name for effect in trained if day in effect.days]

    # A candidate's new address gives the decision another key: that dependency is named by the training.
    unnamed = StaleCause(Category.DEPENDENCIES)
    plain = {
        day: tuple(reason for reason in reasons if reason != unnamed or day is None or not rests_on(day))
        for day, reasons in own.stale.items()
    }
    return _following(Effect(own.stage, own.name, own.missing, plain), keys, rests_on)


def _effect(
    stage: str,
    name: str,
    keys: Mapping[Day, Key] | Mapping[date, Key],
    stored: Mapping[Any, str],
    recipes: Mapping[str, Sequence[Recipe]],
) -> Effect:
    known = recipes.get(name, ())
    stale = {day: tuple(explain(key, stored[day], known)) for day, key in keys.items() if day in stored and stored[day] != key}
    return Effect(stage, name, frozenset(day for day in keys if day not in stored), stale)


def _following(own: Effect, days: Iterable[Day], rests_on: Callable[[date], list[str]]) -> Effect:
    """Return an effect together with the days that follow from what they rest on."""
    stale = dict(own.stale)
    for day in days:
        if day is not None and day not in own.missing and (names := rests_on(day)):
            stale[day] = (*stale.get(day, ()), *_dependencies(names))
    return Effect(own.stage, own.name, own.missing, stale)


def _dependencies(names: Iterable[str]) -> list[StaleCause]:
    return [StaleCause(Category.DEPENDENCIES, name) for name in names]


def _sees(days: Collection[Day], first: date, last: date) -> bool:
    return None in days or any(day is not None and first <= day <= last for day in days)


def _references_are_there(lake: Lake) -> bool:
    return all(_has_partition(lake, name) for name in lake.pipeline.references)


def _has_partition(lake: Lake, name: str) -> bool:
    """Tell whether a table holds a date (a reference: itself); what it was before a change of its kind does not count."""
    partitions = lake.tables.state(f"clean_{name}").partitions
    return REFERENCE in partitions if name in lake.pipeline.references else bool(partitions.keys() - {REFERENCE})


def _day(text: str) -> Day:
    return None if text == REFERENCE else date.fromisoformat(text)
