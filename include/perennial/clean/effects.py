"""The clean tables that runs would compute, for `perennial impact`."""

from __future__ import annotations

from dataclasses import replace

from perennial.clean.plan import pending_work
from perennial.collect.drops import unfit_drops
from perennial.fingerprints.effects import Effect, Scope, compare, stored_keys
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.fingerprints.recipes import read_recipes
from perennial.lake.lake import Lake


def clean_effects(scope: Scope) -> list[Effect]:
    """
    Return the dates of each clean table that runs would compute or withdraw.

    The rows of a drop that no longer fits the contract are withdrawn, once collect has refused it.
    """
    lake, effects = scope.lake, []
    recipes = read_recipes(lake, "clean")
    for drops in scope.found["collect"]:
        table = f"clean_{drops.name}"
        stored = stored_keys(lake, table)
        keys, withdrawn = pending_work(lake, drops.name, scope.first, scope.last)
        effect = compare("clean", table, keys, stored, recipes)
        unfit = unfit_drops(lake, drops.name, scope.needed) if drops.name in lake.pipeline.sources else {}
        replaced = {day: (StaleCause(Category.DEPENDENCIES, drops.name),) for day in drops.missing if day in stored}
        effects.append(
            replace(
                effect,
                missing=effect.missing | drops.missing - replaced.keys(),
                stale={**effect.stale, **replaced},
                withdrawn=frozenset({*withdrawn, *(unfit.keys() & stored.keys())}),
            )
        )
    return effects


def is_made(lake: Lake, name: str) -> bool:
    """Return whether a clean table has data of its present kind: a date for a source, the whole table for a reference."""
    days = stored_keys(lake, f"clean_{name}").keys()
    return None in days if name in lake.pipeline.references else bool(days - {None})
