"""The models that runs would train, for `perennial impact`."""

from __future__ import annotations

from datetime import date

from perennial.fingerprints.effects import Effect, Scope, compare
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.fingerprints.recipes import read_recipes
from perennial.lake.lake import Lake
from perennial.train.plan import training_fingerprints


def train_effects(scope: Scope) -> list[Effect]:
    """Return the dates of each candidate that runs would train."""
    lake, recipes, effects = scope.lake, read_recipes(scope.lake, "train"), []
    inputs = {effect.name: effect.days for effect in scope.found["analyse"] if effect.name in ("features", "labels")}
    for candidate in lake.pipeline.training.candidates:
        trainings = training_fingerprints(scope.foreseen, candidate, scope.decided)
        keys = {day: key for day, (key, _) in trainings.items()}
        stored = {day: stored for day, key in keys.items() if (stored := _find_newest(lake, candidate, day, key))}
        rows = {day: {*split.window, *split.holdout} for day, (_, split) in trainings.items()}

        def dependencies_of(day: date, rows: dict[date, set[date]] = rows) -> list[str]:
            return [name for name, days in inputs.items() if not days.isdisjoint(rows[day])]

        effects.append(compare("train", candidate, keys, stored, recipes).add_dependents(dependencies_of))
    return effects


def _find_newest(lake: Lake, candidate: str, day: date, key: Fingerprint) -> str | None:
    """Return the present fingerprint of a training if its model exists, else that of the newest model of the date."""
    prefix = lake.layout.model_manifest(candidate, day, "x").removesuffix("x.json")
    written = {
        item.uri.removeprefix(prefix).removesuffix(".json"): item.at
        for item in lake.objects.listing(prefix)
        if item.uri.endswith(".json") and "/" not in item.uri.removeprefix(prefix)
    }
    return key if key in written else max(written, key=written.__getitem__, default=None)
