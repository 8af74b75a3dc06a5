"""
Recipes: the code, configuration and libraries of results, stored so that a change of them can be named later.

The short digests of two fingerprints show the categories in which they differ. A recipe is the text behind these digests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from perennial.fingerprints.code import modules_behind
from perennial.fingerprints.fingerprint import Category, Fingerprint, mark
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json

FORMAT = 1
_kept: set[str] = set()
"""The recipes that this process has stored already: a backfill judges sixty dates with the same recipe."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    The recipe of one kind of result.

    :param code: digest of the code, as fingerprints contain it
    :param modules: {module: digest} behind that digest
    """

    code: str
    modules: Mapping[str, str]
    configuration: Json
    libraries: Mapping[str, str]

    def texts(self) -> dict[Category, tuple[str, Json]]:
        """Return by category its short digest in fingerprints, and the text behind it."""
        return {
            Category.CODE: (mark(self.code), self.modules),
            Category.CONFIGURATION: (mark(self.configuration), self.configuration),
            Category.LIBRARIES: (mark(self.libraries), self.libraries),
        }


def recipe_of(key: Fingerprint) -> Recipe:
    """Return the recipe of the result that a fingerprint names."""
    parts = key.parts
    plain = json.loads(canonical_json({"configuration": parts.configuration, "libraries": parts.libraries}))
    return Recipe(parts.code, modules_behind(parts.code), **plain)


def keep_recipes(lake: Lake, stage: str, keys: Mapping[str, Fingerprint]) -> None:
    """
    Store the recipes with which a stage is about to compute its results. Each set of recipes is one small object, stored once.

    :param keys: for each kind of result (a table, a candidate), the fingerprint of any result of that kind
    """
    recipes = {name: asdict(recipe_of(key)) for name, key in sorted(keys.items())}
    body = canonical_json({"format": FORMAT, "recipes": recipes})
    uri = lake.layout.recipe(stage, sha256(body))
    if uri not in _kept:
        lake.objects.create(uri, body)
        _kept.add(uri)


def read_recipes(lake: Lake, stage: str) -> dict[str, list[Recipe]]:
    """Return for each kind of result of a stage the recipes with which it was computed."""
    recipes: dict[str, list[Recipe]] = {}
    for uri in lake.objects.list(lake.layout.recipes(stage)):
        for name, stored in lake.objects.read_existing(uri).json()["recipes"].items():
            recipes.setdefault(name, []).append(Recipe(**stored))
    return recipes
