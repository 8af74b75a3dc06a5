"""The tables of SQL that runs would compute, for `perennial impact`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from perennial.analyse.plan import LABELS, analyse_fingerprints
from perennial.calendar import DAY
from perennial.clean.effects import is_made
from perennial.fingerprints.effects import Effect, Scope, compare, overlaps, stored_keys
from perennial.fingerprints.recipes import read_recipes
from perennial.lake.days import read_day


def analyse_effects(scope: Scope) -> list[Effect]:
    """
    Return the dates (for lookups: as_of) of each table that runs would compute or withdraw.

    There are none while a reference has no clean rows: every result depends on it.
    """
    if not all(is_made(scope.foreseen, name) for name in scope.foreseen.pipeline.references):
        return []
    lake, cleaned, recipes, effects = scope.lake, scope.found["clean"], read_recipes(scope.lake, "analyse"), []
    lookback, later = DAY * lake.pipeline.training.lookback_days, DAY * lake.pipeline.label.known_after_days
    begin = lake.pipeline.calendar.features_from(scope.first)
    withdrawn = frozenset(day for table in cleaned for day in table.withdrawn if day is not None and day >= begin)
    for table, keys in analyse_fingerprints(scope.foreseen, scope.first, scope.last).items():
        is_lookup, stored = table.startswith("lookup_"), stored_keys(lake, table)
        effect = compare("analyse", table, {read_day(text): key for text, key in keys.items()}, stored, recipes)
        back = timedelta() if table == "profile" else lookback
        ahead = -DAY if is_lookup else later if table == LABELS else timedelta()

        def dependencies_of(day: date, back: timedelta = back, ahead: timedelta = ahead) -> list[str]:
            return [source.name for source in cleaned if overlaps(source.changed, day - back, day + ahead)]

        gone = frozenset() if is_lookup else withdrawn & stored.keys()
        effects.append(replace(effect.add_dependents(dependencies_of), withdrawn=gone))
    return effects
