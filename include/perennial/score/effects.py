"""The scores that runs would compute, for `perennial impact`."""

from __future__ import annotations

from datetime import date

from perennial.fingerprints.effects import Effect, Scope, compare
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.fingerprints.recipes import read_recipes
from perennial.score.of_run import find_run_scoring, read_last_scored, scored_table
from perennial.score.plan import scores_table


def score_effects(scope: Scope) -> list[Effect]:
    """Return the dates whose rows a run would score. Without an active release, and without rows, there is nothing to score."""
    lake, table = scope.foreseen, scored_table(scope.lake)
    rows = lake.tables.state(table)
    keys: dict[date, Fingerprint] = {}
    stored: dict[date, str] = {}
    for day in lake.pipeline.calendar.dates(scope.first, scope.last):
        scoring = find_run_scoring(lake, day) if rows.get_complete(day) else None
        if scoring is not None:
            keys[day] = scoring.key(day)
            if scored := read_last_scored(lake, day):
                stored[day] = scored[0][1]
    effect = compare("score", scores_table(table), keys, stored, read_recipes(scope.lake, "score"))

    def dependencies_of(day: date) -> list[str]:
        return [item.name for found in scope.found.values() for item in found if item.name == table and day in item.changed]

    return [effect.add_dependents(dependencies_of)]
