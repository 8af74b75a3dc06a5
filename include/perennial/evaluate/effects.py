"""The decisions that runs would make, for `perennial impact`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import decision_fingerprint
from perennial.fingerprints.effects import Effect, Scope, compare
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.fingerprints.recipes import read_recipes


def evaluate_effects(scope: Scope) -> list[Effect]:
    """Return the dates that runs would judge, of those that can be trained."""
    lake, trained, chain = scope.lake, scope.found["train"], read_chain(scope.lake)
    keys = {}
    for day in scope.decided:
        if all(day in training.keys for training in trained):
            models = {item.name: lake.layout.model_manifest(item.name, day, item.keys[day]) for item in trained}
            keys[day] = decision_fingerprint(lake, day, chain, models)
    stored = {day: entry.key for day in keys if (entry := chain.get(day)) is not None}
    effect = compare("evaluate", "decision", keys, stored, read_recipes(lake, "evaluate"))

    def dependencies_of(day: date) -> list[str]:
        return [training.name for training in trained if day in training.days]

    # The new address of a candidate changes the fingerprint of the decision. The training already names that dependency.
    unnamed = StaleCause(Category.DEPENDENCIES)
    stale = {
        day: tuple(reason for reason in reasons if reason != unnamed or day is None or not dependencies_of(day))
        for day, reasons in effect.stale.items()
    }
    return [replace(effect, stale=stale).add_dependents(dependencies_of)]
