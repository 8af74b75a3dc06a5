"""Find the results that a run would recompute, by stage, with the causes. Reads only, and reads no large tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from perennial.analyse.fingerprints import REFERENCE
from perennial.analyse.plan import LABELS, analyse_fingerprints
from perennial.calendar import DAY, Split
from perennial.clean.plan import clean_fingerprints, uncleaned_days
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import decision_fingerprint
from perennial.fingerprints.fingerprint import Category, Fingerprint, StaleCause
from perennial.fingerprints.recipes import Recipe, read_recipes
from perennial.impact.causes import explain
from perennial.lake.lake import Lake
from perennial.train.plan import training_fingerprints

Day = date | None
"""None: a reference, which every date uses."""
Trainings = Mapping[str, Mapping[date, tuple[Fingerprint, Split]]]
"""Fingerprints and splits of the possible trainings, by candidate and date."""


@dataclass(frozen=True, slots=True)
class Effect:
    """
    One kind of result (a table, a candidate, the decision) and the dates for which it would be computed.

    `missing` dates do not exist yet. `stale` dates exist, but their inputs have changed; each has its causes. A date whose only
    cause is a dependency may stay the same: it is recomputed only if that dependency changes.
    """

    stage: str
    name: str
    missing: frozenset[Day] = frozenset()
    stale: Mapping[Day, tuple[StaleCause, ...]] = field(default_factory=dict)

    @property
    def days(self) -> frozenset[Day]:
        """Return all dates that would be computed."""
        return self.missing | frozenset(self.stale)


def find_effects(lake: Lake, first: date, last: date, decided: Collection[date]) -> list[Effect]:
    """
    Return the results that runs of `first` to `last` would compute, in the order of the stages.

    :param decided: the dates among them that would be trained and judged
    """
    lake = lake.at_one_moment()
    cleaned = _find_clean(lake, first, last)
    analysed = _find_analyse(lake, first, last, cleaned) if _has_references(lake) else []
    planned: Trainings = {
        candidate: training_fingerprints(lake, candidate, decided) for candidate in lake.pipeline.training.candidates
    }
    trained = _find_train(lake, planned, {effect.name: effect for effect in analysed})
    return [*cleaned, *analysed, *trained, _find_evaluate(lake, decided, planned, trained)]


def unmade_tables(lake: Lake) -> list[str]:
    """Return the clean tables that have no partition of their kind yet, so that later stages cannot be predicted."""
    return [f"clean_{name}" for name in lake.pipeline.tables if not _has_partition(lake, name)]


def withdrawn_dates(lake: Lake, source: str, first: date, last: date, effects: Iterable[Effect]) -> list[date]:
    """Return the dates of a source whose clean rows the next run withdraws, without those that it cleans."""
    cleaned = {day for effect in effects if effect.name == f"clean_{source}" for day in effect.days}
    return sorted(day for day in uncleaned_days(lake, source, first, last) if day is not None and day not in cleaned)


def _find_clean(lake: Lake, first: date, last: date) -> list[Effect]:
    recipes = read_recipes(lake, "clean")
    effects = []
    for name in lake.pipeline.tables:
        table = f"clean_{name}"
        stored = {_day(text): partition.key for text, partition in lake.tables.state(table).partitions.items()}
        effects.append(_compare("clean", table, clean_fingerprints(lake, name, first, last), stored, recipes))
    return effects


def _find_analyse(lake: Lake, first: date, last: date, cleaned: Sequence[Effect]) -> list[Effect]:
    recipes = read_recipes(lake, "analyse")
    lookback, later = DAY * lake.pipeline.training.lookback_days, DAY * lake.pipeline.label.known_after_days
    effects = []
    for table, keys in analyse_fingerprints(lake, first, last).items():
        stored = {_day(text): partition.key for text, partition in lake.tables.state(table).partitions.items()}
        effect = _compare("analyse", table, {_day(text): key for text, key in keys.items()}, stored, recipes)
        back = timedelta() if table == "profile" else lookback
        ahead = -DAY if table.startswith("lookup_") else later if table == LABELS else timedelta()

        def dependencies_of(day: date, back: timedelta = back, ahead: timedelta = ahead) -> list[str]:
            return [source.name for source in cleaned if _overlaps(source.days, day - back, day + ahead)]

        effects.append(_add_dependents(effect, {_day(text) for text in keys}, dependencies_of))
    return effects


def _find_train(lake: Lake, planned: Trainings, analysed: Mapping[str, Effect]) -> list[Effect]:
    recipes = read_recipes(lake, "train")
    inputs = {name: analysed[name].days for name in ("features", LABELS) if name in analysed}
    effects = []
    for candidate, trainings in planned.items():
        stored = {day: _newest_fingerprint(lake, candidate, day, key) for day, (key, _) in trainings.items()}
        keys = {day: key for day, (key, _) in trainings.items()}
        effect = _compare("train", candidate, keys, {day: key for day, key in stored.items() if key}, recipes)
        splits = {day: split for day, (_, split) in trainings.items()}

        def dependencies_of(day: date, splits: Mapping[date, Split] = splits) -> list[str]:
            rows = {*splits[day].window, *splits[day].holdout}
            return [name for name, days in inputs.items() if not days.isdisjoint(rows)]

        effects.append(_add_dependents(effect, keys, dependencies_of))
    return effects


def _newest_fingerprint(lake: Lake, candidate: str, day: date, key: Fingerprint) -> str | None:
    """Return the present fingerprint of a training if its model exists, else that of the newest model of the date."""
    prefix = lake.layout.model_manifest(candidate, day, "x").removesuffix("x.json")
    written = {
        item.uri.removeprefix(prefix).removesuffix(".json"): item.at
        for item in lake.objects.listing(prefix)
        if item.uri.endswith(".json") and "/" not in item.uri.removeprefix(prefix)
    }
    return key if key in written else max(written, key=written.__getitem__, default=None)


def _find_evaluate(lake: Lake, decided: Collection[date], planned: Trainings, trained: Sequence[Effect]) -> Effect:
    chain = read_chain(lake)
    keys = {}
    for day in decided:
        if all(day in trainings for trainings in planned.values()):
            addresses = {name: lake.layout.model_manifest(name, day, trainings[day][0]) for name, trainings in planned.items()}
            keys[day] = decision_fingerprint(lake, day, chain, addresses)
    stored = {day: entry.key for day in keys if (entry := chain.get(day)) is not None}
    effect = _compare("evaluate", "decision", keys, stored, read_recipes(lake, "evaluate"))

    def dependencies_of(day: date) -> list[str]:
        return [training.name for training in trained if day in training.days]

    # The new address of a candidate changes the fingerprint of the decision. The training already names that dependency.
    unnamed = StaleCause(Category.DEPENDENCIES)
    plain = {
        day: tuple(reason for reason in reasons if reason != unnamed or day is None or not dependencies_of(day))
        for day, reasons in effect.stale.items()
    }
    return _add_dependents(Effect(effect.stage, effect.name, effect.missing, plain), keys, dependencies_of)


def _compare(
    stage: str,
    name: str,
    keys: Mapping[Day, Fingerprint] | Mapping[date, Fingerprint],
    stored: Mapping[Any, str],
    recipes: Mapping[str, Sequence[Recipe]],
) -> Effect:
    known = recipes.get(name, ())
    stale = {day: tuple(explain(key, stored[day], known)) for day, key in keys.items() if day in stored and stored[day] != key}
    return Effect(stage, name, frozenset(day for day in keys if day not in stored), stale)


def _add_dependents(effect: Effect, days: Iterable[Day], dependencies_of: Callable[[date], list[str]]) -> Effect:
    """Add the days of an effect whose dependencies would be recomputed."""
    stale = dict(effect.stale)
    for day in days:
        if day is not None and day not in effect.missing and (names := dependencies_of(day)):
            stale[day] = (*stale.get(day, ()), *_dependencies(names))
    return Effect(effect.stage, effect.name, effect.missing, stale)


def _dependencies(names: Iterable[str]) -> list[StaleCause]:
    return [StaleCause(Category.DEPENDENCIES, name) for name in names]


def _overlaps(days: Collection[Day], first: date, last: date) -> bool:
    return None in days or any(day is not None and first <= day <= last for day in days)


def _has_references(lake: Lake) -> bool:
    return all(_has_partition(lake, name) for name in lake.pipeline.references)


def _has_partition(lake: Lake, name: str) -> bool:
    """Return whether a table has data of its present kind: a date for a source, the whole table for a reference."""
    partitions = lake.tables.state(f"clean_{name}").partitions
    return REFERENCE in partitions if name in lake.pipeline.references else bool(partitions.keys() - {REFERENCE})


def _day(text: str) -> Day:
    return None if text == REFERENCE else date.fromisoformat(text)
