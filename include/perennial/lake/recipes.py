"""
Recipes: how results are made (code, configuration, libraries), kept so that a change of them can be named later.

A key alone says that something differs. With the recipes that a lake has seen, a stale result is explained by trying them: the one
that gives its key is how it was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from perennial.lake.code import modules_behind
from perennial.lake.keys import Key
from perennial.lake.lake import Lake
from perennial.lake.objects import canonical_json, sha256

FORMAT = 1
_kept: set[str] = set()
"""What this process has stored: a backfill judges sixty dates in one way."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    How one kind of result is made.

    :param code: digest of the code, as it is in keys
    :param modules: {module: digest} behind it
    """

    code: str
    modules: Mapping[str, str]
    configuration: Mapping[str, Any]
    libraries: Mapping[str, str]

    def makes(self, key: Key, stored: str) -> bool:
        """Tell whether this recipe gives the key that is stored, with the data that the present key rests on."""
        return key.parts.made_with(self.code, self.configuration, self.libraries).key() == stored


def recipe_of(key: Key) -> Recipe:
    """Return how the result of a key is made."""
    parts = key.parts
    plain = json.loads(canonical_json({"configuration": dict(parts.configuration), "libraries": dict(parts.libraries)}))
    return Recipe(parts.code, modules_behind(parts.code), **plain)


def keep_recipes(lake: Lake, stage: str, keys: Mapping[str, Key]) -> None:
    """
    Store how a stage is about to make its results, once for each way: one small object.

    :param keys: for each kind of result (a table, a candidate), the key of any one
    """
    recipes = {name: asdict(recipe_of(key)) for name, key in sorted(keys.items())}
    body = canonical_json({"format": FORMAT, "recipes": recipes})
    uri = lake.layout.recipe(stage, sha256(body))
    if uri not in _kept:
        lake.objects.create(uri, body)
        _kept.add(uri)


def read_recipes(lake: Lake, stage: str) -> dict[str, list[Recipe]]:
    """Return for each kind of result of a stage the recipes that it was made with, the newest first."""
    found: dict[str, list[Recipe]] = {}
    written = sorted(lake.objects.listing(lake.layout.recipes(stage)), key=lambda item: item.at, reverse=True)
    for item in written:
        for name, stored in lake.objects.read_existing(item.uri).json()["recipes"].items():
            recipe = Recipe(**stored)
            if recipe not in found.setdefault(name, []):
                found[name].append(recipe)
    return found
