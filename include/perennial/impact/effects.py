"""The results that runs would compute, stage by stage. Reads only, and reads no large tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.clean.effects import is_made
from perennial.fingerprints.effects import Effect, Scope
from perennial.lake.lake import Lake
from perennial.stages import SparkStage, stages_of


def find_effects(lake: Lake, first: date, last: date, decided: Iterable[date]) -> list[Effect]:
    """
    Return the results that runs of `first` to `last` would compute, in the order of the stages.

    :param decided: the dates among them that would be trained and judged
    """
    lake = lake.at_one_moment()
    scope = Scope(lake, first, last, tuple(decided), foreseen=lake)
    for stage in stages_of(lake.pipeline):
        scope = scope.add(stage.name, stage.find_effects(scope), are_tables=isinstance(stage, SparkStage))
    return [effect for effects in scope.found.values() for effect in effects]


def unmade_tables(lake: Lake, effects: Iterable[Effect]) -> list[str]:
    """Return the clean tables that have no partition and get none, so that later stages cannot be predicted."""
    made = {effect.name for effect in effects if effect.missing}
    return [f"clean_{name}" for name in lake.pipeline.tables if not is_made(lake, name) and f"clean_{name}" not in made]
