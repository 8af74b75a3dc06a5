"""
Recipes: how results are made (code, configuration, libraries), kept so that a change of them can be named later.

A key tells in which categories it differs from another one, by short digests. A recipe is the text behind such a digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from perennial.fingerprints.code import modules_behind
from perennial.fingerprints.keys import Category, Key, mark
from perennial.lake.lake import Lake
from perennial.store.json_value import Json
from perennial.store.objects import canonical_json, sha256

FORMAT = 1
_kept: set[str] = set()
"""The recipes that this process has stored: a backfill judges sixty dates in one way."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    How one kind of result is made.

    :param code: digest of the code, as it is in keys
    :param modules: {module: digest} behind it
    """

    code: str
    modules: Mapping[str, str]
    configuration: Json
    libraries: Mapping[str, str]

    def texts(self) -> dict[Category, tuple[str, Json]]:
        """Return by category the short digest that keys have of it, and the text behind that."""
        return {
            Category.CODE: (mark(self.code), self.modules),
            Category.CONFIGURATION: (mark(self.configuration), self.configuration),
            Category.LIBRARIES: (mark(self.libraries), self.libraries),
        }


def recipe_of(key: Key) -> Recipe:
    """Return how the result of a key is made."""
    parts = key.parts
    plain = json.loads(canonical_json({"configuration": parts.configuration, "libraries": parts.libraries}))
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
    """Return for each kind of result of a stage the recipes that it was made with."""
    found: dict[str, list[Recipe]] = {}
    for uri in lake.objects.list(lake.layout.recipes(stage)):
        for name, stored in lake.objects.read_existing(uri).json()["recipes"].items():
            found.setdefault(name, []).append(Recipe(**stored))
    return found
